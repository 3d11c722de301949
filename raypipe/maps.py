"""Geometry of foreground maps: from cells to pixels, masks and boxes. Plain NumPy and SciPy.

Letters of shapes: h, w cells of the grid; H, W pixels of the image.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Boxes = Doubles


def normalised(scores: Floats) -> Floats:
    """Scale class scores to a foreground map: negative scores to 0, the maximum to 1.

    Args:
        scores: (..., h, w) raw scores.

    Returns:
        (..., h, w) float32 in 0..1; all zero where no score is positive.
    """
    positive = np.maximum(scores, 0.0).astype(np.float32)
    peak = positive.max(axis=(-2, -1), keepdims=True)
    scaled: Floats = np.divide(positive, peak, out=np.zeros_like(positive), where=peak > 0)
    return scaled


def upsampled(grid: Floats, height: int, width: int) -> Floats:
    """Interpolate a map bilinearly to image size, cell centres at (i + 0.5) H / h - 0.5.

    The convention of `torch.nn.functional.interpolate(..., align_corners=False)`.

    Args:
        grid: (h, w) float32.
        height: H, pixels.
        width: W, pixels.

    Returns:
        (H, W) float32.
    """
    rows = _weights(grid.shape[0], height)
    cols = _weights(grid.shape[1], width)
    return rows @ grid.astype(np.float32) @ cols.T


@lru_cache(maxsize=64)
def _weights(cells: int, pixels: int) -> Floats:
    """Return the (pixels, cells) matrix of linear interpolation along one axis."""
    centres = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    low = np.floor(centres).astype(np.intp)
    high = np.minimum(low + 1, cells - 1)
    share = (centres - low).astype(np.float32)
    weights = np.zeros((pixels, cells), dtype=np.float32)
    np.add.at(weights, (np.arange(pixels), low), 1 - share)
    np.add.at(weights, (np.arange(pixels), high), share)
    weights.flags.writeable = False
    return weights


def foreground(image_map: Floats, threshold: float) -> npt.NDArray[np.bool_]:
    """Return where a map exceeds a share of its own maximum (Zhou et al., CVPR 2016).

    Args:
        image_map: (H, W) non-negative scores.
        threshold: Share of the maximum, 0..1.

    Returns:
        (H, W) bool; all false for an empty map.
    """
    return np.asarray(image_map > threshold * image_map.max(initial=0.0))


def component_boxes(mask: npt.NDArray[np.bool_]) -> Boxes:
    """Return the box of every 8-connected component, the one of most pixels first.

    Args:
        mask: (H, W) bool.

    Returns:
        (n, 4) float64, x0 y0 x1 y1, pixels, end exclusive; ties keep reading order.
    """
    labels, count = ndimage.label(mask, structure=np.ones((3, 3), dtype=np.int8))
    if count == 0:
        return np.empty((0, 4))
    sizes = np.bincount(labels.ravel())[1:]
    boxes = [
        (cols.start, rows.start, cols.stop, rows.stop)
        for rows, cols in ndimage.find_objects(labels)
    ]
    return np.array(boxes, dtype=np.float64)[np.argsort(-sizes, kind="stable")]


def largest_box(mask: npt.NDArray[np.bool_]) -> Boxes:
    """Return the first row of `component_boxes`, (1, 4) or (0, 4), in half the time."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3), dtype=np.int8))
    if count == 0:
        return np.empty((0, 4))
    largest = mask if count == 1 else labels == np.bincount(labels.ravel())[1:].argmax() + 1
    rows, cols = (np.flatnonzero(largest.any(axis=axis)) for axis in (1, 0))
    return np.array([[cols[0], rows[0], cols[-1] + 1, rows[-1] + 1]], dtype=np.float64)


def map_boxes(
    grid: Floats, height: int, width: int, threshold: float, *, every: bool = False
) -> Boxes:
    """Return the box of the largest component above a share of the map's maximum: CAM's rule.

    Zhou et al., "Learning deep features for discriminative localization" (CVPR 2016).

    Args:
        grid: (h, w) scores.
        height: Image height, pixels.
        width: Image width, pixels.
        threshold: Share of the maximum.
        every: Return the boxes of all components, the largest first.

    Returns:
        (n, 4) float64 x0 y0 x1 y1, pixels of the original image, end exclusive; none for an
        empty map.
    """
    mask = foreground(upsampled(grid, height, width), threshold)
    return component_boxes(mask) if every else largest_box(mask)


def box_ious(
    box: npt.NDArray[np.float64], truth: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the IoU of one box with each of several.

    Args:
        box: (4,) x0 y0 x1 y1, end exclusive.
        truth: (n, 4) likewise.

    Returns:
        (n,) float64 in 0..1.
    """
    low = np.maximum(box[:2], truth[:, :2])
    high = np.minimum(box[2:], truth[:, 2:])
    overlap = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(truth[:, 2:] - truth[:, :2], axis=1)
    union = np.prod(box[2:] - box[:2]) + areas - overlap
    ious: Boxes = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return ious
