"""A shard of images on its way to the network: read, decoded, and what could not be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raypipe.errors import MissingError
from raypipe.loading.decode import RejectedError, decode
from raypipe.stages import rejected, stage
from raypipe.storage.blob import Blob, read_blobs, read_order
from raypipe.storage.commit import ShardCommit
from raypipe.storage.images import ShardReader
from raypipe.storage.parts import Parts
from raypipe.tables import REJECTS

_FACTS = ("image_id", "uri", "classes", "ordinals")


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

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> ShardImage:
        """Return an image from what a table or JSON gives: lists where tuples are meant."""
        lists = {name: tuple(facts[name]) for name in ("classes", "ordinals")}
        return cls(**{**facts, **lists})


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
        retried: These are only the images of a committed shard that were rejected before.
    """

    name: str
    images: tuple[ShardImage, ...]
    pixels: npt.NDArray[np.uint8]
    rejects: tuple[Reject, ...]
    retried: bool = False

    @property
    def image_ids(self) -> list[str]:
        """Names of all images that were to be read."""
        return [image.image_id for image in self.images] + [
            reject.image_id for reject in self.rejects
        ]

    def to_row(self) -> dict[str, Any]:
        """Pack into a row that Arrow carries without guessing types: two strings and bytes."""
        facts = {
            "images": [asdict(image) for image in self.images],
            "rejects": [asdict(reject) for reject in self.rejects],
            "shape": self.pixels.shape,
            "retried": self.retried,
        }
        return {"shard": self.name, "facts": json.dumps(facts), "pixels": self.pixels.tobytes()}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> DecodedShard:
        """Unpack what `to_row` packed; the pixels are not copied."""
        facts = json.loads(row["facts"])
        pixels = np.frombuffer(row["pixels"], dtype=np.uint8).reshape(facts["shape"])
        images = tuple(ShardImage.of(image) for image in facts["images"])
        rejects = tuple(Reject(**item) for item in facts["rejects"])
        return cls(row["shard"], images, pixels, rejects, facts["retried"])


def commit_shard(
    commit: ShardCommit, shard: DecodedShard, rejects: Sequence[Reject], *tables: pa.Table
) -> None:
    """Commit what became of a shard.

    Args:
        commit: The step's.
        shard: What was worked on.
        rejects: All its rejects, those that could not be decoded included.
        tables: In the order of the commit's outputs.
    """
    names = [output.table.name for output in commit.outputs]
    rows = REJECTS.build([vars(reject) for reject in rejects])
    again = shard.image_ids if shard.retried else None
    rejected(reject.reason for reject in rejects)
    with stage("commit"):
        commit.write(shard.name, dict(zip(names, tables, strict=True)), rows, again)


@dataclass(frozen=True)
class ReadShard:
    """Reads and decodes the images of a shard, wherever it is called; small and picklable.

    Attributes:
        images: The index.
        size: Width and height of the network's input, pixels.
        max_pixels: Larger images are rejected before they are decoded.
        rejects: Read only the images that are rejects here.
    """

    images: ShardReader
    size: int
    max_pixels: int
    rejects: Parts | None = None

    def decoded(self, row: Mapping[str, Any]) -> DecodedShard:
        """Read a shard.

        Args:
            row: Of the shards table.

        Raises:
            InputError: If the index or a store cannot be read.
        """
        items = self._listed(row["shard"], row["part"])
        pixels = np.empty((len(items), self.size, self.size, 3), np.uint8)
        images: list[ShardImage] = []
        rejects: list[Reject] = []
        contents = iter(read_blobs([item["uri"] for item in items]))
        for item in items:
            with stage("read"):
                content = next(contents)
            try:
                with stage("decode"):
                    width, height = self._decode(content, pixels[len(images)])
            except RejectedError as error:
                rejects.append(Reject(item["image_id"], item["uri"], error.reason, error.detail))
                continue
            images.append(ShardImage.of(item | {"width": width, "height": height}))
        return DecodedShard(
            name=row["shard"],
            images=tuple(images),
            pixels=pixels[: len(images)],
            rejects=tuple(rejects),
            retried=self.rejects is not None,
        )

    def _listed(self, shard: str, part: str) -> Sequence[dict[str, Any]]:
        """Return what the index says of the images to read."""
        rows: list[dict[str, Any]] = self.images.read(shard, part).select(_FACTS).to_pylist()
        rows.sort(key=lambda row: read_order(row["uri"]))  # names need not be in a tar's order
        if self.rejects is None:
            return rows
        again = {row["image_id"] for row in self.rejects.rows(REJECTS, shard).to_pylist()}
        return [row for row in rows if row["image_id"] in again]

    def _decode(self, content: Blob, out: npt.NDArray[np.uint8]) -> tuple[int, int]:
        """Decode an image into its place; return its width and height."""
        if isinstance(content, MissingError):
            raise RejectedError("missing", content.message)
        if not content:
            raise RejectedError("empty", "zero bytes")
        out[:], width, height = decode(content, self.size, self.max_pixels)
        return width, height
