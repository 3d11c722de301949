"""Two sides of the same pairs to means, intervals and tests, over all classes and of each.

Most metrics are means over the images of a class, then over classes. MaxBoxAcc and V2 are the
benchmark's: pairs pooled over the set, at the threshold that serves the whole set best, which
every draw of the bootstrap chooses anew. A class is shown at the threshold that the set chose.

Letters of shapes: n pairs; R draws; T thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raypipe.evaluate.boxes import BOUNDS, Bits, hits, unpacked
from raypipe.evaluate.contours import THRESHOLDS
from raypipe.evaluate.paired import Codes, Difference, class_means, difference, pooled
from raypipe.maps import Doubles

LINEAR = ("corloc", "iou", "precision", "recall", "pointing")
"""Metrics that are means of the images' own values."""

METRICS_OF_ROWS = (*LINEAR, "max_box_acc", "max_box_acc_v2")
"""Metrics that rows of `metrics` suffice for."""

_V1 = BOUNDS.index(0.5)
_USED = (_V1, 3, 4, 5)  # curves of `box_hits` that a metric is made of: V1 at 0.5, V2


@dataclass(frozen=True)
class Sample:
    """What one side made of the pairs.

    Attributes:
        linear: (n, 5) float64, the metrics of LINEAR; NaN where there is no truth of that kind.
        curves: (n, 4, T) uint8 hits: V1 at IoU 0.5, V2 at 0.3, 0.5 and 0.7.
    """

    linear: Doubles
    curves: Bits

    @classmethod
    def of(cls, rows: pa.Table, box_iou: float) -> Sample:
        """Take what rows of `metrics` say.

        Args:
            rows: The rows, in the order of the pairs.
            box_iou: A box counts for CorLoc from this IoU on.
        """
        names = ("box_iou", "iou", "precision", "recall")
        box, *pixels = (np.asarray(rows[name].to_numpy(), dtype=np.float64) for name in names)
        peaks = rows["peak_inside"].cast(pa.int8()).cast(pa.float64()).to_numpy()
        linear = np.column_stack([hits(box, box_iou), *pixels, peaks.astype(np.float64)])
        return cls(linear, unpacked(rows["box_hits"])[:, _USED])


@dataclass(frozen=True)
class Resampled:
    """Both sides of every metric.

    Attributes:
        overall: Over all classes, by the metric's name.
        per_class: Of each class, likewise.
        thresholds: Those that MaxBoxAcc chose on either side; NaN without boxes.
    """

    overall: dict[str, Difference]
    per_class: list[dict[str, Difference]]
    thresholds: tuple[float, float]


def resample(
    a: Sample, b: Sample, codes: Codes, images: Codes, counts: npt.NDArray[np.uint8]
) -> Resampled:
    """Measure two sides under every draw.

    Args:
        a: The first side.
        b: The second side, of the same pairs; truth that only one side has judges neither.
        codes: (n,) class of each pair; every class 0..max has pairs.
        images: (n,) column of `counts` of each pair.
        counts: (R, images) draws, the first of ones.
    """
    known = ~(np.isnan(a.linear) | np.isnan(b.linear))
    boxed = known[:, 0]
    best = [_best(side.curves[boxed], images[boxed], counts) for side in (a, b)]
    values = [
        np.column_stack([np.where(known, side.linear, np.nan), _at(side.curves, boxed, chosen)])
        for side, (_, chosen) in zip((a, b), best, strict=True)
    ]
    width = values[0].shape[1]
    sums = np.zeros((len(counts), 2 * width))
    classes = np.zeros_like(sums)
    single: list[dict[str, Difference]] = []
    for means in class_means(np.column_stack(values), codes, images, counts):
        fine = ~np.isnan(means)
        sums += np.where(fine, means, 0.0)
        classes += fine
        single.append(dict(_named(means, int((codes == len(single)).sum()))))
    over = np.divide(sums, classes, out=np.full_like(sums, np.nan), where=classes > 0)
    for (accuracies, _), start in zip(best, (0, width), strict=True):
        over[:, start + len(LINEAR) : start + width] = accuracies
    first, second = (_threshold(chosen) for _, chosen in best)
    return Resampled(dict(_named(over, counts.shape[1])), single, (first, second))


def _best(
    curves: Bits, images: Codes, counts: npt.NDArray[np.uint8]
) -> tuple[Doubles, npt.NDArray[np.intp] | None]:
    """Return (R, 2) MaxBoxAcc and V2 of every draw, and the (4,) thresholds that the data chose."""
    if not len(curves):
        return np.full((len(counts), 2), np.nan), None
    share = pooled(curves.reshape(len(curves), -1), images, counts)
    share = share.reshape(len(counts), len(_USED), len(THRESHOLDS))
    tops = share.max(axis=2)
    return np.column_stack([tops[:, 0], tops[:, 1:].mean(axis=1)]), share[0].argmax(axis=1)


def _at(curves: Bits, boxed: npt.NDArray[np.bool_], chosen: npt.NDArray[np.intp] | None) -> Doubles:
    """Return (n, 2): each pair's hit at the set's thresholds, V2's a mean over its bounds."""
    found = np.full((len(curves), 2), np.nan)
    if chosen is not None:
        each = curves[:, np.arange(len(chosen)), chosen].astype(np.float64)
        found[boxed] = np.column_stack([each[:, 0], each[:, 1:].mean(axis=1)])[boxed]
    return found


def _threshold(chosen: npt.NDArray[np.intp] | None) -> float:
    return float("nan") if chosen is None else float(THRESHOLDS[chosen[0]])


def _named(means: Doubles, sample: int) -> Iterator[tuple[str, Difference]]:
    """Yield every metric of (R, 14) means, the first side's seven first."""
    for index, name in enumerate(METRICS_OF_ROWS):
        other = index + len(METRICS_OF_ROWS)
        yield name, difference(means[:, index], means[:, other], sample)
