"""Box metrics of one map or one set: CorLoc at a fixed threshold, and MaxBoxAcc. Plain NumPy.

*CorLoc* asks whether the box that a detection names fits (IoU of at least 0.5 with any true box).
*MaxBoxAcc* (Choe et al., CVPR 2020) frees the comparison from the choice of a threshold: boxes are
made at every threshold of a grid, and the one threshold that serves the whole set best counts. To
take the best threshold of each image instead is a common mistake, and overstates the result.

Letters of shapes: H, W pixels of the image; T thresholds; n images; C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raypipe.evaluate.means import Doubles, class_means, overall
from raypipe.maps import Floats, box_ious, component_boxes

THRESHOLDS: Doubles = np.arange(100) / 100
"""(T,) shares of a map's maximum, 0.00 to 0.99; the grid of `metrics.threshold_ious`."""

_STEPS_OF_HALF = 2048  # float16 holds every multiple of 1 / 2048 in 0..1 exactly


@dataclass(frozen=True)
class MaxBoxAcc:
    """The best box accuracy that one threshold reaches on a whole set.

    Attributes:
        threshold: That threshold, a share of each map's maximum; the lowest of equally good ones.
        overall: Mean over classes at that threshold.
        per_class: (C,) share of each class's images at that threshold, NaN for no images.
    """

    threshold: float
    overall: float
    per_class: Doubles


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


def threshold_ious(image_map: Floats, truth: Doubles) -> npt.NDArray[np.float16]:
    """Return how well the largest component's box fits at every threshold of the grid.

    A mask holds the pixels strictly above the threshold's share of the map's maximum, as in
    `maps.foreground`; the box is that of the 8-connected component of most pixels. The reference
    implementation (clovaai/wsolevaluation) differs in three ways: it rounds the map to 8 bits
    after stretching it to 0..255, takes the contour of the largest enclosed area, and counts
    boxes with the last pixel included (the +1 convention).

    Args:
        image_map: (H, W) float32, non-negative scores.
        truth: (m, 4) float64 true boxes, m > 0; pixels, end exclusive.

    Returns:
        (T,) float16 IoUs, rounded down so that storing them never turns a miss into a hit.
    """
    levels = _levels(image_map)
    row_peaks, col_peaks = levels.max(axis=1), levels.max(axis=0)
    pixels = np.bincount(levels.ravel(), minlength=len(THRESHOLDS) + 1)
    ious = np.zeros(len(THRESHOLDS))
    for index in range(int(levels.max(initial=0))):
        if index and pixels[index] == 0:  # no pixel lies between this threshold and the last
            ious[index] = ious[index - 1]
            continue
        # Masks shrink as thresholds grow: labelling only the rows and columns that are left
        # halves the time.
        rows, cols = np.flatnonzero(row_peaks > index), np.flatnonzero(col_peaks > index)
        window = levels[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        box = component_boxes(window > index)[0] + np.tile((cols[0], rows[0]), 2)
        ious[index] = box_ious(box, truth).max()
    return _rounded_down(ious).astype(np.float16)


def _levels(image_map: Floats) -> npt.NDArray[np.uint8]:
    """Return the number of thresholds that each pixel exceeds, (H, W) in 0..T."""
    # In float32, as the map, so that a pixel on a threshold falls as it does in `foreground`.
    edges = THRESHOLDS.astype(np.float32) * image_map.max(initial=0.0)
    return np.searchsorted(edges, image_map, side="left").astype(np.uint8)


def _rounded_down(ious: Doubles) -> Doubles:
    return np.floor(ious * _STEPS_OF_HALF) / _STEPS_OF_HALF


def hits(ious: Doubles, box_iou: float) -> Doubles:
    """Return whether IoUs reach a bound, as 0 and 1; NaN stays NaN.

    Args:
        ious: Any shape, as read from `metrics`: `box_iou`, or the rounded `threshold_ious`.
        box_iou: The bound, 0..1; 0.5 is compared exactly, others to 1/2048.
    """
    bound = float(_rounded_down(np.array(box_iou)))
    return np.where(np.isnan(ious), np.nan, (ious >= bound).astype(np.float64))


def max_box_acc(
    ious: Doubles, codes: npt.NDArray[np.intp], classes: int, box_iou: float
) -> MaxBoxAcc:
    """Return MaxBoxAcc: one threshold for the whole set, chosen for the mean over classes.

    Args:
        ious: (n, T) IoUs of `threshold_ious`; a row of NaN has no true box.
        codes: (n,) class of each row, 0..classes - 1.
        classes: Number of classes.
        box_iou: A box counts from this IoU on.

    Returns:
        The result; NaN throughout where no row has a true box.
    """
    accuracies = class_means(hits(ious, box_iou), codes, classes)
    curve = overall(accuracies)
    if np.isnan(curve).all():
        return MaxBoxAcc(np.nan, np.nan, np.full(classes, np.nan))
    best = int(curve.argmax())
    return MaxBoxAcc(float(THRESHOLDS[best]), float(curve[best]), accuracies[:, best])
