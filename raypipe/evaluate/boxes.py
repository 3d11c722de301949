"""Hits of one map's boxes: CorLoc at a fixed threshold, and the curves of MaxBoxAcc. Plain NumPy.

*CorLoc* asks whether the box that a detection names fits (IoU of at least 0.5 with any true box).
*MaxBoxAcc* (Choe et al., CVPR 2020) frees the comparison from the choice of a threshold: boxes are
made at every threshold of a grid, and the one threshold that serves the whole set best counts. To
take the best threshold of each image instead is a common mistake, and overstates the result.

Letters of shapes: T thresholds; n images.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raypipe.evaluate.contours import (
    SIDE,
    THRESHOLDS,
    eight_bits,
    iou_curves,
    scaled_truth,
    stretched,
)
from raypipe.maps import Doubles, Floats, box_ious, upsampled

BOUNDS = (0.3, 0.5, 0.7)
"""IoUs that MaxBoxAccV2 averages over; V1 is at 0.5."""

CURVES = 2 * len(BOUNDS)
"""Curves of a row: V1 at each bound, then V2 at each."""

_BYTES = -(-len(THRESHOLDS) // 8)
NO_HITS = bytes(CURVES * _BYTES)
"""What a detection that is not there has in place of `box_hits`."""

Bits = npt.NDArray[np.uint8]


def best_iou(boxes: Doubles, truth: Doubles) -> float | None:
    """Return how well a detection's first box fits: its best IoU with any true box.

    Args:
        boxes: (k, 4) the detection's boxes, the largest component's first; pixels, end exclusive.
        truth: (m, 4) true boxes of the class, likewise.

    Returns:
        0..1; 0 for a detection without boxes, None where there is no true box.
    """
    if len(truth) == 0:
        return None
    return float(box_ious(boxes[0], truth).max()) if len(boxes) else 0.0


def stretched_grid(grid: Floats) -> Doubles:
    """Return the (SIDE, SIDE) map that the benchmark looks at, its scores in 0..1.

    Args:
        grid: (h, w) float32 map of cells.
    """
    return stretched(upsampled(grid, SIDE, SIDE))


def box_hits(stretched_map: Doubles, truth: Doubles, width: int, height: int) -> bytes:
    """Return at which thresholds the contours' boxes fit.

    Args:
        stretched_map: What `stretched_grid` returned.
        truth: (m, 4) true boxes, m > 0; pixels of the image, ends exclusive.
        width: Of the image, pixels.
        height: Of the image, pixels.

    Returns:
        The (CURVES, T) hits in bits, each curve in whole bytes.
    """
    ious = iou_curves(eight_bits(stretched_map), scaled_truth(truth, width, height))
    return np.packbits(ious[:, None] >= np.array(BOUNDS)[None, :, None], axis=-1).tobytes()


def unpacked(column: pa.ChunkedArray) -> Bits:
    """Return a column `box_hits` as (n, CURVES, T) uint8 of 0 and 1; null as zeros."""
    whole = b"".join(value or NO_HITS for value in column.to_pylist())
    packed = np.frombuffer(whole, dtype=np.uint8).reshape(-1, CURVES, _BYTES)
    return np.unpackbits(packed, axis=-1, count=len(THRESHOLDS))


def hits(ious: Doubles, box_iou: float) -> Doubles:
    """Return whether IoUs reach a bound, as 0 and 1; NaN stays NaN.

    Args:
        ious: Any shape, as read from `metrics`, which holds single precision.
        box_iou: The bound, 0..1.
    """
    bound = float(np.float32(box_iou))
    return np.where(np.isnan(ious), np.nan, (ious.astype(np.float32) >= bound).astype(np.float64))


def peak_inside(image_map: Floats, truth: Doubles) -> bool:
    """Return whether a map's highest pixel lies in a true box: the pointing game.

    Zhang et al. ("Top-down neural attention by excitation backprop", ECCV 2016) forgive 15 pixels;
    here nothing is forgiven. Of equal pixels the first in reading order is taken.

    Args:
        image_map: (H, W) float32; a map without a positive score points nowhere.
        truth: (m, 4) true boxes, pixels of the image, ends exclusive.
    """
    if image_map.max(initial=0.0) <= 0:
        return False
    row, col = peak(image_map)
    point = np.array((col + 0.5, row + 0.5))
    return bool(((point > truth[:, :2]) & (point < truth[:, 2:])).all(axis=1).any())


def peak(image_map: Floats) -> tuple[int, int]:
    """Return row and column of the highest pixel."""
    row, col = divmod(int(image_map.argmax()), image_map.shape[1])
    return row, col
