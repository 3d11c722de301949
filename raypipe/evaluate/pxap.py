"""PxAP: the area under pixel precision against recall, the pixels pooled over a set.

Choe et al. (CVPR 2020); bins and sums as in clovaai/wsolevaluation: scores of maps stretched to
0..1 at 224 x 224, 100 bins of 0.01, one for the score 1, and one that is never filled. Histograms
of maps add up to those of a set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raypipe.columns import matrix, matrix_column
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
    # As np.histogram(scores, _EDGES): the last bin, which takes its upper edge too, is empty. Bins
    # are a hundredth wide, but for the rounding of their edges.
    bins = (stretched_map * 100).astype(np.intp)
    bins -= stretched_map < _EDGES[bins]
    bins += stretched_map >= _EDGES[bins + 1]
    return np.stack(
        [np.bincount(bins[where], minlength=BINS) for where in (inside, valid & ~inside)]
    )


def average_precision(counts: npt.NDArray[Any]) -> Doubles:
    """Return PxAP, 0..1, or NaN where nothing is inside.

    Args:
        counts: (..., 2, BINS) sums of `histograms`.

    Returns:
        (...) float64.
    """
    added = np.cumsum(counts[..., ::-1].astype(np.float64), axis=-1)
    shared, predicted = added[..., 0, :], added.sum(axis=-2)
    precision = np.divide(shared, predicted, out=np.zeros_like(shared), where=predicted > 0)
    area = (precision[..., 1:] * np.diff(shared, axis=-1)).sum(axis=-1)
    found: Doubles = np.divide(
        area, shared[..., -1], out=np.full(area.shape, np.nan), where=shared[..., -1] > 0
    )
    return found


def pixel_rows(found: Sequence[tuple[str, str, str, Counts]]) -> pa.Table:
    """Return rows of `pixels` from image, class, rule and `histograms` of each map."""
    counts = np.array([item[3] for item in found], np.int32).reshape(-1, 2, BINS)
    names = [[item[at] for item in found] for at in range(3)]
    columns = [*(pa.array(each, pa.string()) for each in names),
               *(matrix_column(counts[:, side], np.int32) for side in (0, 1))]  # fmt: skip
    return pa.table(columns, schema=PIXELS.schema)


def pixel_counts(rows: pa.Table) -> Counts:
    """Return (n, 2 BINS) int64 of rows of `pixels`: inside, then outside."""
    sides = [matrix(rows[name]).reshape(-1, BINS) for name in ("inside", "outside")]
    return np.concatenate(sides, axis=1).astype(np.int64)


def precisions(summed: Doubles) -> Doubles:
    """Return PxAP of every draw.

    Args:
        summed: (R, 2 BINS) sums of `pixel_counts`.

    Returns:
        (R,) float64, NaN where nothing is inside.
    """
    return average_precision(summed.reshape(len(summed), 2, BINS))
