"""Paired bootstrap: the means of two sides over the same resampled images. Plain NumPy.

Images are drawn with Poisson(1) counts, the online form of Efron's bootstrap (Chamandy et al.,
"Estimating uncertainty for massive data streams", 2012). An image keeps its count in every class
and on both sides, so what is hard for both cancels in the difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raypipe.maps import Doubles

REPLICATES = 1000
_CHUNK = 8192
Codes = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Difference:
    """Two sides of a metric and their difference.

    Attributes:
        a: Mean of the first side, or None where there is no truth of that kind.
        b: Mean of the second.
        a_interval: 95 % interval of the first mean, or None for fewer than two images.
        b_interval: That of the second.
        difference: b minus a.
        interval: 95 % interval of the difference, or None for fewer than two images.
        p: Two-sided p-value of no difference: twice the smaller share of replicates on one side
            of 0.
    """

    a: float | None
    b: float | None
    a_interval: tuple[float, float] | None
    b_interval: tuple[float, float] | None
    difference: float | None
    interval: tuple[float, float] | None
    p: float | None


def draws(images: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return (1 + REPLICATES, images) counts of the images; the first row is the data itself."""
    generator = np.random.default_rng(seed)
    counts = np.ones((1 + REPLICATES, images), dtype=np.uint8)
    for draw in counts[1:]:  # at once, the numbers would take eight times the memory
        draw[:] = generator.poisson(1.0, images)
    return counts


def class_means(
    values: Doubles, codes: Codes, images: Codes, counts: npt.NDArray[np.uint8]
) -> Iterator[Doubles]:
    """Yield each class's means under every draw.

    Args:
        values: (n, k), NaN where there is no truth.
        codes: (n,) class of each row; every class 0..max has rows.
        images: (n,) column of `counts` of each row.
        counts: What `draws` returned.

    Yields:
        (1 + REPLICATES, k) float64, NaN where a draw has no row with truth.
    """
    known = ~np.isnan(values)
    order = np.argsort(codes, kind="stable")
    for rows in np.split(order, np.cumsum(np.bincount(codes))[:-1]):
        weights = counts[:, images[rows]].astype(np.float64)
        sums = weights @ np.where(known[rows], values[rows], 0.0)
        totals = weights @ known[rows].astype(np.float64)
        yield np.divide(sums, totals, out=np.full_like(sums, np.nan), where=totals > 0)


def pooled(
    hits: npt.NDArray[np.uint8], images: Codes, counts: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float64]:
    """Return the means over all rows, whatever their class, under every draw.

    Args:
        hits: (n, k) of 0 and 1, n > 0.
        images: (n,) column of `counts` of each row.
        counts: What `draws` returned.

    Returns:
        (draws, k) float64; NaN for a draw without a row.
    """
    sums = np.zeros((len(counts), hits.shape[1]))
    totals = np.zeros(len(counts))
    for start in range(0, len(hits), _CHUNK):  # as floats they would be four times as large
        rows = slice(start, start + _CHUNK)
        weights = counts[:, images[rows]].astype(np.float32)
        sums += weights @ hits[rows].astype(np.float32)  # whole numbers: exact
        totals += weights.sum(axis=1)
    return np.divide(
        sums, totals[:, None], out=np.full_like(sums, np.nan), where=totals[:, None] > 0
    )


def difference(a: Doubles, b: Doubles, sample: int) -> Difference:
    """Summarise the draws of two sides.

    Args:
        a: (1 + REPLICATES,) means of the first side, the data's own first.
        b: Those of the second side.
        sample: Images that they rest on.
    """
    if np.isnan(a[0]) or np.isnan(b[0]):
        return Difference(None, None, None, None, None, None, None)
    first, second = float(a[0]), float(b[0])
    point = second - first
    changes = (b - a)[1:]
    known = ~np.isnan(changes)
    if sample < 2 or not known.any():
        return Difference(first, second, None, None, point, None, None)
    changes = changes[known]
    # One is added to either count: no finite number of draws gives p = 0.
    tail = min((changes <= 0).sum(), (changes >= 0).sum())
    p = min(1.0, 2.0 * float(tail + 1) / (len(changes) + 1))
    ends_a, ends_b = (_interval(side[1:][known]) for side in (a, b))
    return Difference(first, second, ends_a, ends_b, point, _interval(changes), p)


def _interval(values: Doubles) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
