"""Pictures for the report: which pairs to show, and a map drawn over its photo."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from PIL import Image, ImageOps

from raypipe.errors import InputError
from raypipe.evaluate.picks import Pick
from raypipe.evaluate.predictions import Prediction
from raypipe.maps import Floats, upsampled
from raypipe.storage.blob import read_blob

_LONG_SIDE = 400  # pixels; about 15 kB a picture, and sharp in two columns of a phone
_QUALITY = 72
_GREY = (128, 128, 128)
_COLOURS = "magma"  # perceptual: its brightness grows with the score, for every kind of eye

Pixels = npt.NDArray[np.uint8]
Rect = tuple[float, float, float, float]
"""x, y, width, height, as SVG wants it; pixels of the image."""


@dataclass(frozen=True)
class Panel:
    """One side of a case: what one rule made of the image.

    Attributes:
        source: Data URI of the photo under the map's colours.
        boxes: The predicted box that is judged; empty if there is none.
        box_iou: Its best IoU with a true box, or None.
        iou: The mask's IoU, or None.
    """

    source: str
    boxes: list[Rect]
    box_iou: float | None
    iou: float | None


@dataclass(frozen=True)
class Case:
    """An image before and after, as the page shows it.

    Attributes:
        image_id: The image.
        title: The class, for people.
        width: Image width, pixels.
        height: Image height, pixels.
        truth: True boxes.
        plain: Before.
        refined: After.
        change: As in `Pick`.
    """

    image_id: str
    title: str
    width: int
    height: int
    truth: list[Rect]
    plain: Panel
    refined: Panel
    change: float


def read_photo(uri: str, width: int, height: int) -> Pixels:
    """Return a photo at display size, in the frame after EXIF rotation.

    Args:
        uri: Path or URI of the image.
        width: Its width, pixels.
        height: Its height, pixels.

    Returns:
        (h, w, 3) uint8 sRGB, at most 400 pixels a side; grey if the image cannot be read.
    """
    scale = min(1.0, _LONG_SIDE / max(width, height))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    try:
        with Image.open(io.BytesIO(read_blob(uri))) as image:
            turned = ImageOps.exif_transpose(image).convert("RGB")
            return np.asarray(turned.resize(size, Image.Resampling.LANCZOS))
    except (InputError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        # The page must not fail for a picture that has gone since it was measured.
        return np.asarray(Image.new("RGB", size, _GREY))


def blended(photo: Pixels, grid: Floats) -> Pixels:
    """Draw a map over a photo: the hotter a pixel, the less of the photo shines through.

    Args:
        photo: (h, w, 3) uint8.
        grid: Cells of the map, non-negative.

    Returns:
        (h, w, 3) uint8.
    """
    heat = upsampled(grid, *photo.shape[:2])
    heat = heat / max(float(heat.max(initial=0.0)), 1e-12)
    colours = colormaps[_COLOURS](heat)[..., :3] * 255
    # Grey under the colours, so that the photo's own colours are not taken for heat.
    grey = photo @ np.array([0.299, 0.587, 0.114])
    opacity = 0.15 + 0.55 * heat[..., None]
    mixed = (1 - opacity) * (0.6 * photo + 0.4 * grey[..., None]) + opacity * colours
    return np.asarray(mixed, dtype=np.uint8)


def overlay(photo: Pixels, grid: Floats) -> str:
    """Return `blended` as the data URI of a WebP picture."""
    buffer = io.BytesIO()
    Image.fromarray(blended(photo, grid)).save(buffer, "WEBP", quality=_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def draw(
    picked: Pick,
    uri: str,
    title: str,
    truth: npt.NDArray[np.float64],
    predictions: tuple[Prediction, Prediction],
) -> Case:
    """Draw a pair before and after.

    Args:
        picked: The pair.
        uri: Path or URI of its image.
        title: Its class, for people.
        truth: (m, 4) true boxes.
        predictions: What was said of it, plain and refined.
    """
    width, height = predictions[0].width, predictions[0].height
    photo = read_photo(uri, width, height)
    plain, refined = (
        Panel(
            overlay(photo, _heat(found)),
            [_rect(box) for box in found.boxes[:1]],
            scores["box_iou"],
            scores["iou"],
        )
        for found, scores in zip(predictions, (picked.plain, picked.refined), strict=True)
    )
    rects = [_rect(box) for box in truth]
    return Case(picked.image_id, title, width, height, rects, plain, refined, picked.change)


def _heat(found: Prediction) -> Floats:
    """Return the map, or the mask where there is only one."""
    if found.map is not None:
        return found.map
    return np.zeros((1, 1), np.float32) if found.mask is None else found.mask.astype(np.float32)


def _rect(box: npt.NDArray[np.float64]) -> Rect:
    x0, y0, x1, y1 = (float(side) for side in box)
    return x0, y0, x1 - x0, y1 - y0
