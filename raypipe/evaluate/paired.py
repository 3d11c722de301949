"""Paired bootstrap: how often each draw has an image, and what the draws say of a difference.

Images are drawn with Poisson(1) counts, the online form of Efron's bootstrap (Chamandy et al.,
"Estimating uncertainty for massive data streams", 2012). An image's counts follow from its name
alone: they are the same in every class, on both sides and on every machine, so what is hard for
both sides cancels in the difference, and nobody has to hold the draws of a whole set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import poisson

from raypipe.maps import Doubles

REPLICATES = 1000
DRAWS = 1 + REPLICATES
"""The data itself, then the replicates."""

_CHUNK = 512  # images at a time: their random bits take 4 MB

Counts = npt.NDArray[np.uint8]

_U = np.uint64
_STEP, _MIX, _MIX2 = _U(0x9E3779B97F4A7C15), _U(0xBF58476D1CE4E5B9), _U(0x94D049BB133111EB)
# Of 32 random bits, those from here on make a count larger than 0, 1, 2, ...
_BOUNDS = [_U(int(bound)) for bound in np.ceil(poisson.cdf(np.arange(13), 1.0) * 2.0**32)]


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


def draws(image_ids: Iterable[str]) -> Counts:
    """Return how often each draw has each image.

    The random bits are SplitMix64's (Steele et al., "Fast splittable pseudorandom number
    generators", OOPSLA 2014), started at a hash of the image's name.

    Args:
        image_ids: n names.

    Returns:
        (DRAWS, n) uint8; the first row is ones, the data itself.
    """
    digests = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in image_ids]
    seeds = np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)
    counts = np.ones((DRAWS, len(seeds)), dtype=np.uint8)
    counts[1:] = 0
    for start in range(0, len(seeds), _CHUNK):
        some = slice(start, start + _CHUNK)
        state = np.arange(1, DRAWS, dtype=np.uint64)[:, None] * _STEP + seeds[some]
        state = (state ^ (state >> _U(30))) * _MIX
        state = (state ^ (state >> _U(27))) * _MIX2
        bits = (state ^ (state >> _U(31))) >> _U(32)
        for bound in _BOUNDS:
            counts[1:, some] += bits >= bound
    return counts


def difference(a: Doubles, b: Doubles, sample: int) -> Difference:
    """Summarise the draws of two sides.

    Args:
        a: (DRAWS,) means of the first side, the data's own first.
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
