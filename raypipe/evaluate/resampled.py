"""What metrics are made of: values of pairs, hits of a set, and their means under every draw.

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
from raypipe.evaluate.paired import Counts, Difference, difference
from raypipe.evaluate.sums import Sums
from raypipe.maps import Doubles

LINEAR = ("corloc", "top1_loc", "top5_loc", "iou", "precision", "recall", "pointing")
"""Metrics that are means of the pairs' own values."""

METRICS_OF_ROWS = (*LINEAR, "max_box_acc", "max_box_acc_v2")
"""Metrics that rows of `metrics` suffice for."""

_V1 = BOUNDS.index(0.5)
_USED = (_V1, 3, 4, 5)  # curves of `box_hits` that a metric is made of: V1 at 0.5, V2

Chosen = npt.NDArray[np.intp] | None
"""(4,) threshold of each curve that serves a set best; None without boxes."""


@dataclass(frozen=True)
class Sample:
    """What one side made of pairs.

    Attributes:
        linear: (n, 7) float64, the metrics of LINEAR; NaN where there is no truth of that kind.
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
        names = ("box_iou", "rank", "iou", "precision", "recall")
        box, rank, *pixels = (_doubles(rows[name]) for name in names)
        found = hits(box, box_iou)
        first = [
            np.where(np.isnan(rank), np.nan, found * ((rank >= 1) & (rank <= last)))
            for last in (1, 5)
        ]
        peaks = _doubles(rows["peak_inside"].cast(pa.int8()))
        linear = np.column_stack([found, *first, *pixels, peaks])
        return cls(linear, unpacked(rows["box_hits"])[:, _USED])

    def of_rows(self, rows: slice) -> Sample:
        """Return some of the pairs."""
        return Sample(self.linear[rows], self.curves[rows])

    def hits(self, weights: Counts) -> Sums:
        """Sum the curves of the pairs with boxes: (R, 4 T)."""
        boxed = ~np.isnan(self.linear[:, 0])
        curves = self.curves[boxed].reshape(-1, len(_USED) * len(THRESHOLDS))
        return Sums.of_whole(curves, weights[:, boxed])

    def values(self, chosen: Chosen) -> Doubles:
        """Return (n, 9): each pair's value of METRICS_OF_ROWS, at the set's thresholds."""
        found = np.full((len(self.linear), 2), np.nan)
        if chosen is not None:
            boxed = ~np.isnan(self.linear[:, 0])
            each = self.curves[:, np.arange(len(chosen)), chosen].astype(np.float64)
            found[boxed] = np.column_stack([each[:, 0], each[:, 1:].mean(axis=1)])[boxed]
        return np.column_stack([self.linear, found])


def best(summed: Sums) -> tuple[Doubles, Chosen]:
    """Return MaxBoxAcc and V2 of every draw, and the thresholds that the data itself chose.

    Args:
        summed: What `Sample.hits` summed up over the set.

    Returns:
        (R, 2) float64, NaN without boxes; the thresholds.
    """
    share = summed.means().reshape(len(summed.values), len(_USED), len(THRESHOLDS))
    tops = share.max(axis=2)
    accuracies: Doubles = np.column_stack([tops[:, 0], tops[:, 1:].mean(axis=1)])
    return accuracies, None if np.isnan(accuracies[0, 0]) else share[0].argmax(axis=1)


def threshold(chosen: Chosen) -> float | None:
    """Return MaxBoxAcc's threshold, or None without boxes."""
    return None if chosen is None else float(THRESHOLDS[chosen[0]])


def differences(a: Doubles, b: Doubles, sample: int) -> Iterator[tuple[str, Difference]]:
    """Yield every metric of METRICS_OF_ROWS with what the draws say of it.

    Args:
        a: (R, 9) means of the first side.
        b: Those of the second.
        sample: Images that they rest on.
    """
    for index, name in enumerate(METRICS_OF_ROWS):
        yield name, difference(a[:, index], b[:, index], sample)


class ClassMeans:
    """Means over classes under every draw, class after class in a fixed order."""

    def __init__(self) -> None:
        self._sum: Doubles | None = None
        self._known: Doubles | None = None

    def add(self, means: Doubles) -> None:
        """Add a class's (R, 9) means; a draw without any of its pairs leaves the class out."""
        fine = (~np.isnan(means)).astype(np.float64)
        whole = np.where(fine > 0, means, 0.0)
        self._sum = whole if self._sum is None else self._sum + whole
        self._known = fine if self._known is None else self._known + fine

    def merge(self, other: ClassMeans) -> None:
        """Add another's classes."""
        if other._sum is None or other._known is None:
            return
        self._sum = other._sum if self._sum is None else self._sum + other._sum
        self._known = other._known if self._known is None else self._known + other._known

    def means(self, accuracies: Doubles) -> Doubles:
        """Return (R, 9): means over classes, MaxBoxAcc and V2 as the set has them.

        Args:
            accuracies: (R, 2) of `best`.
        """
        found = np.full((len(accuracies), len(METRICS_OF_ROWS)), np.nan)
        if self._sum is not None and self._known is not None:
            np.divide(self._sum, self._known, out=found, where=self._known > 0)
        found[:, len(LINEAR) :] = accuracies
        return found


def _doubles(column: pa.ChunkedArray) -> Doubles:
    """Return a nullable column as float64, NaN for null."""
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)
