"""From encoded images to one array a shard; what cannot be decoded becomes a reject."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image, ImageOps

from raypipe.errors import InputError
from raypipe.storage.location import Location

Pixels = npt.NDArray[np.uint8]

SEED = pa.schema([("shard", pa.string()), ("images", pa.string())])
"""What the driver sends a reader: the shard's name, and its rows of the index as JSON."""


@dataclass(frozen=True)
class ShardImage:
    """An image of a shard, decoded.

    Attributes:
        image_id: Its name.
        uri: Where it was read from.
        classes: Classes to look for in it.
        ordinals: For each class, the image's place among that class's images.
        width: Pixels, in the frame after EXIF rotation.
        height: Likewise.
    """

    image_id: str
    uri: str
    classes: tuple[str, ...]
    ordinals: tuple[int, ...]
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Reject:
    """An input that could not be processed; the row of the rejects table."""

    image_id: str
    uri: str
    reason: str
    detail: str


@dataclass(frozen=True)
class DecodedShard:
    """A shard as the network takes it.

    Attributes:
        name: The shard's name.
        images: What is known of each image.
        pixels: (n, S, S, 3) uint8 RGB.
        rejects: Images that could not be decoded.
    """

    name: str
    images: tuple[ShardImage, ...]
    pixels: Pixels
    rejects: tuple[Reject, ...]

    def to_row(self) -> dict[str, Any]:
        """Pack into a row that Arrow carries without guessing types: two strings and bytes."""
        facts = {
            "images": [asdict(image) for image in self.images],
            "rejects": [asdict(reject) for reject in self.rejects],
            "shape": self.pixels.shape,
        }
        return {"shard": self.name, "facts": json.dumps(facts), "pixels": self.pixels.tobytes()}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> DecodedShard:
        """Unpack what `to_row` packed; the pixels are not copied."""
        facts = json.loads(row["facts"])
        pixels = np.frombuffer(row["pixels"], dtype=np.uint8).reshape(facts["shape"])
        images = tuple(
            ShardImage(**image | {"classes": tuple(image["classes"]),
                                  "ordinals": tuple(image["ordinals"])})
            for image in facts["images"]
        )  # fmt: skip
        return cls(row["shard"], images, pixels, tuple(Reject(**item) for item in facts["rejects"]))


class RejectedError(Exception):
    """An image cannot be used; `reason` is one of the rejects table's."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def seed_table(images: pa.Table, shards: Sequence[str]) -> pa.Table:
    """Return one row a shard for the readers, of the shards named.

    Args:
        images: Rows of the images table.
        shards: Shards to work on.
    """
    wanted = set(shards)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in shards}
    for row in images.to_pylist():
        if row["shard"] in wanted:
            rows[row["shard"]].append(
                {key: row[key] for key in ("image_id", "uri", "classes", "ordinals")}
            )
    table = {"shard": list(rows), "images": [json.dumps(items) for items in rows.values()]}
    return pa.table(table, schema=SEED)


@dataclass(frozen=True)
class ReadShard:
    """Reads and decodes the images of a shard; runs in a Ray task.

    Attributes:
        size: Width and height of the network's input, pixels.
        max_pixels: Larger images are rejected before they are decoded.
    """

    size: int
    max_pixels: int

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the decoded shard as a row."""
        images, pixels, rejects = [], [], []
        for item in json.loads(row["images"]):
            try:
                array, width, height = decode(_read(item["uri"]), self.size, self.max_pixels)
            except RejectedError as error:
                rejects.append(Reject(item["image_id"], item["uri"], error.reason, error.detail))
                continue
            pixels.append(array)
            images.append(ShardImage(**item, width=width, height=height))
        stack = np.stack(pixels) if pixels else np.empty((0, self.size, self.size, 3), np.uint8)
        return DecodedShard(row["shard"], tuple(images), stack, tuple(rejects)).to_row()


def _read(uri: str) -> bytes:
    try:
        content = Location.of(uri).read_bytes()
    except InputError as error:
        raise RejectedError("missing", error.message) from None
    if not content:
        raise RejectedError("empty", "zero bytes")
    return content


_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, ArithmeticError,
    RuntimeError, struct.error, zlib.error,
)  # fmt: skip
"""What Pillow's plug-ins raise on damaged files, found by changing bytes of 60,000 images."""


def decode(content: bytes, size: int, max_pixels: int) -> tuple[Pixels, int, int]:
    """Decode an image and resize it to a square; the aspect ratio is not kept.

    Grey, palette, CMYK, alpha and 16-bit images become RGB; EXIF rotation is applied.

    Args:
        content: The encoded image.
        size: S, pixels.
        max_pixels: Most pixels it may have.

    Returns:
        (S, S, 3) uint8, and the image's width and height in pixels after rotation.

    Raises:
        RejectedError: If it is no image, truncated or too large.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images; our own limit decides.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as image:
                if image.width * image.height > max_pixels:
                    raise RejectedError("too_large", f"{image.width} × {image.height} pixels")
                image.load()
                upright = _upright(_rgb(image))
                small = upright.resize((size, size), Image.Resampling.BILINEAR)
                return np.asarray(small, dtype=np.uint8), upright.width, upright.height
    except _BROKEN as error:
        raise RejectedError("undecodable", str(error).replace("\n", " ")[:200]) from None
    except Image.DecompressionBombError as error:
        raise RejectedError("too_large", str(error)) from None


def _upright(image: Image.Image) -> Image.Image:
    """Return the image turned as its EXIF block says; one that cannot be read says nothing."""
    try:
        return ImageOps.exif_transpose(image)
    except _BROKEN:
        return image


def _rgb(image: Image.Image) -> Image.Image:
    """Return an RGB image that keeps the EXIF rotation."""
    if image.mode.startswith("I;16") or image.mode == "I":
        # Pillow would clip 16 bits at 255; scale them.
        array = np.asarray(image, dtype=np.int64)
        grey = Image.fromarray(np.clip(array >> 8, 0, 255).astype(np.uint8))
        grey.info.update(image.info)
        return grey.convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
