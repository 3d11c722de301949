"""PxAP: the area under pixel precision against recall, the pixels pooled over a set.

Choe et al. (CVPR 2020); bins and sums as in clovaai/wsolevaluation: scores of maps stretched to
0..1 at 224 x 224, 100 bins of 0.01, one for the score 1, and one that is never filled. Pooled
histograms add up, so a set needs no more memory than an image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raypipe.datasets.truth import ClassMask
from raypipe.evaluate.contours import SIDE, THRESHOLDS
from raypipe.maps import Doubles
from raypipe.tables import PIXELS

BINS = len(THRESHOLDS) + 2
_EDGES = np.append(THRESHOLDS, [1.0, 2.0, 3.0])

Counts = npt.NDArray[np.int64]


def nearest(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return a mask at SIDE x SIDE by the nearest pixel, (i * H / SIDE) cut to a whole number.

    Args:
        mask: (H, W) bool.
    """
    rows, cols = (np.arange(SIDE) * length // SIDE for length in mask.shape)
    return mask[np.ix_(rows, cols)]


def histograms(stretched_map: Doubles, truth: ClassMask) -> Counts:
    """Count a map's scores inside and outside a class, void left out.

    Args:
        stretched_map: (SIDE, SIDE) scores in 0..1.
        truth: The class's mask at image size.

    Returns:
        (2, BINS) pixels: inside, outside; ascending scores.
    """
    inside, valid = nearest(truth.inside & truth.valid), nearest(truth.valid)
    # As np.histogram(scores, _EDGES): the last bin, which takes its upper edge too, is empty.
    bins = np.searchsorted(_EDGES, stretched_map, side="right") - 1
    return np.stack(
        [np.bincount(bins[where], minlength=BINS) for where in (inside, valid & ~inside)]
    )


def average_precision(counts: Counts) -> float:
    """Return PxAP, 0..1, or NaN where nothing is inside.

    Args:
        counts: (2, BINS) sum of `histograms`.
    """
    shared, wrong = np.cumsum(counts[:, ::-1], axis=1).astype(np.float64)
    if shared[-1] == 0:
        return float("nan")
    predicted = shared + wrong
    precision: Doubles = np.divide(
        shared, predicted, out=np.zeros_like(shared), where=predicted > 0
    )
    return float((precision[1:] * np.diff(shared / shared[-1])).sum())


class Pools:
    """Histograms added up by class and rule; adding two pools gives that of both."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], Counts] = {}

    def add(self, name: str, rule: str, counts: Counts) -> None:
        """Add (2, BINS) counts of a class's map by a rule."""
        key = (name, rule)
        self._counts[key] = self._counts.get(key, 0) + counts

    def table(self) -> pa.Table:
        """Return the pools as rows of `pixels`."""
        return PIXELS.build(
            [
                {"class": name, "rule": rule, "inside": counts[0], "outside": counts[1]}
                for (name, rule), counts in sorted(self._counts.items())
            ]
        )

    @classmethod
    def of(cls, tables: Iterable[pa.Table]) -> Pools:
        """Add up rows of `pixels`, one table at a time."""
        pools = cls()
        for table in tables:
            for row in table.to_pylist():
                counts = np.array([row["inside"], row["outside"]], dtype=np.int64)
                pools.add(row["class"], row["rule"], counts)
        return pools

    def merge(self, other: Pools) -> None:
        """Add another's counts."""
        for (name, rule), counts in other._counts.items():
            self.add(name, rule, counts)

    def precision(self, rule: str, names: Sequence[str]) -> float:
        """Return PxAP of the pixels of several classes together, NaN without any of them."""
        empty = np.zeros((2, BINS), dtype=np.int64)
        return average_precision(
            sum((self._counts.get((name, rule), empty) for name in names), empty)
        )
