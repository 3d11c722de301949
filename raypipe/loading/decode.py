"""From an encoded image to pixels of one size, or the reason why it cannot be used.

JPEGs go through torchvision's decoder (libjpeg-turbo without Pillow's copies); whatever it refuses,
and every other format and mode, goes through Pillow. Both are resized by torch's antialiased
bilinear filter, which differs from Pillow's by one level at most and costs a quarter.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

Pixels = npt.NDArray[np.uint8]

_ORIENTATION = 0x0112  # EXIF tag; 1 = upright


class RejectedError(Exception):
    """An image cannot be used; `reason` is one of the rejects table's."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, ArithmeticError,
    RuntimeError, struct.error, zlib.error,
)  # fmt: skip
"""What Pillow's plug-ins raise on damaged files, found by changing bytes of 60,000 images."""


def decode(content: bytes, size: int, max_pixels: int) -> tuple[Pixels, int, int]:
    """Decode an image and resize it to a square; the aspect ratio is not kept.

    Args:
        content: The encoded image.
        size: S, pixels.
        max_pixels: Most pixels it may have.

    Returns:
        (S, S, 3) uint8, and the image's width and height in pixels after rotation.

    Raises:
        RejectedError: If it is no image, truncated or too large.
    """
    with _reasons():
        pixels = _whole(content, max_pixels)
        return _resized(pixels, size), pixels.shape[2], pixels.shape[1]


def decode_whole(content: bytes, max_pixels: int) -> Pixels:
    """Decode an image at its own size.

    Args:
        content: The encoded image.
        max_pixels: Most pixels it may have.

    Returns:
        (H, W, 3) uint8.

    Raises:
        RejectedError: If it is no image, truncated or too large.
    """
    with _reasons():
        return np.ascontiguousarray(_whole(content, max_pixels).permute(1, 2, 0).numpy())


@contextmanager
def _reasons() -> Iterator[None]:
    """Turn what decoders raise into the reason of a reject."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images; our own limit decides.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            yield
    except UnidentifiedImageError:
        # Its own words hold an address in memory, another one each time.
        raise RejectedError("undecodable", "no known image format") from None
    except _BROKEN as error:
        raise RejectedError("undecodable", str(error).replace("\n", " ")[:200]) from None
    except Image.DecompressionBombError as error:
        raise RejectedError("too_large", str(error)) from None


def _whole(content: bytes, max_pixels: int) -> torch.Tensor:
    """Return (3, H, W) uint8.

    Grey, palette, CMYK, alpha and 16-bit images become RGB; EXIF rotation is applied.
    """
    with Image.open(io.BytesIO(content)) as image:
        if image.width * image.height > max_pixels:
            raise RejectedError("too_large", f"{image.width} × {image.height} pixels")
        pixels = _jpeg(content) if _is_plain_jpeg(image) else None
        if pixels is None:
            image.load()
            rgb = np.array(_upright(_rgb(image)), dtype=np.uint8)
            pixels = torch.from_numpy(rgb).permute(2, 0, 1)
        return pixels


def _is_plain_jpeg(image: Image.Image) -> bool:
    """Return whether the fast decoder gives the same image: RGB or grey, and upright."""
    if image.format != "JPEG" or image.mode not in {"RGB", "L"}:
        return False
    try:
        return bool(image.getexif().get(_ORIENTATION, 1) == 1)
    except _BROKEN:
        return True


def _jpeg(content: bytes) -> torch.Tensor | None:
    """Return (3, H, W) uint8, or None for a file that only Pillow may take."""
    # Importing torchvision takes longer than importing torch: not before there is a JPEG.
    from torchvision.io import ImageReadMode, decode_jpeg

    try:
        # torch warns of read-only memory, which nobody writes to here.
        encoded = torch.from_numpy(np.frombuffer(bytearray(content), dtype=np.uint8))
        pixels: torch.Tensor = decode_jpeg(encoded, mode=ImageReadMode.RGB)
    except RuntimeError:
        return None
    return pixels


def _resized(pixels: torch.Tensor, size: int) -> Pixels:
    """Return (S, S, 3) uint8 of (3, H, W) uint8."""
    small = torch.nn.functional.interpolate(
        pixels[None], (size, size), mode="bilinear", antialias=True
    )
    return small[0].permute(1, 2, 0).numpy()


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
