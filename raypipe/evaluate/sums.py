"""Weighted sums under every draw that add up to the same in any order.

Parts of a set are summed on different machines and arrive in any order. Sums of floating-point
numbers would differ in their last digits; these are of whole numbers, which doubles hold exactly
up to 2^53, so that a result is the same for one worker and for a hundred.

Letters of shapes: n rows; k values a row; R draws.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from raypipe.maps import Doubles

FINE = 2.0**24
"""Parts of 1 that shares are rounded to: as fine as single precision, exact for 2^29 images."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Sums:
    """Sums of rows.

    Attributes:
        values: (R, k) float64 whole numbers: weights times values, in parts of 1.
        weights: (R, k) or (R, 1) float64 whole numbers: weights of the rows that have a value.
        parts: How many parts 1 has.
    """

    values: Doubles
    weights: Doubles
    parts: float = 1.0

    @classmethod
    def of(cls, values: Doubles, weights: npt.NDArray[np.uint8], parts: float = 1.0) -> Sums:
        """Sum rows under every draw.

        Args:
            values: (n, k) float64, NaN where a row has no value.
            weights: (R, n) how often each draw has each row.
            parts: How many parts 1 has; values are rounded to them.
        """
        known = ~np.isnan(values)
        whole = np.where(known, np.rint(values * parts), 0.0)
        wide = weights.astype(np.float64)
        return cls(wide @ whole, wide @ known.astype(np.float64), parts)

    @classmethod
    def of_whole(cls, values: npt.NDArray[Any], weights: npt.NDArray[np.uint8]) -> Sums:
        """Sum rows of whole numbers that are all known.

        Args:
            values: (n, k) int64, or uint8 of 0 and 1, for which single precision is exact.
            weights: (R, n), n below 2^16.
        """
        kind = np.float32 if values.dtype == np.uint8 else np.float64
        wide = weights.astype(kind)
        summed = (wide @ values.astype(kind)).astype(np.float64)
        return cls(summed, wide.sum(axis=1, keepdims=True).astype(np.float64))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.values + other.values, self.weights + other.weights, self.parts)

    def means(self) -> Doubles:
        """Return (R, k) float64 weighted means, NaN where no row has a value."""
        known = np.broadcast_to(self.weights > 0, self.values.shape)
        empty = np.full_like(self.values, np.nan)
        means: Doubles = np.divide(self.values, self.weights * self.parts, out=empty, where=known)
        return means


def add(into: dict[Key, Sums], key: Key, sums: Sums) -> None:
    """Add sums to those of a key."""
    into[key] = into[key] + sums if key in into else sums
