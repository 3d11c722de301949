"""Means of metrics: over the images of a class first, then over classes. Plain NumPy.

A class with many images weighs as much as one with few, and a class without a kind of truth is
left out of that metric's mean.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]


def class_means(values: Doubles, codes: npt.NDArray[np.intp], classes: int) -> Doubles:
    """Return the mean of each class's values.

    Args:
        values: (n,) or (n, k), one row an image; a row that starts with NaN has no truth.
        codes: (n,) class of each row, 0..classes - 1.
        classes: Number of classes.

    Returns:
        (classes,) or (classes, k) float64, NaN for a class without values.
    """
    known = ~np.isnan(values if values.ndim == 1 else values[:, 0])
    sums = np.zeros((classes, *values.shape[1:]))
    np.add.at(sums, codes[known], values[known])
    counts = np.bincount(codes[known], minlength=classes).astype(np.float64)
    counts[counts == 0] = np.nan
    means: Doubles = (sums.T / counts).T
    return means


def overall(means: Doubles) -> Doubles:
    """Return the mean over classes, the NaN ones left out.

    Args:
        means: (classes,) or (classes, k), what `class_means` returned.

    Returns:
        () or (k,) float64, NaN where no class has a value.
    """
    known = ~np.isnan(means)
    sums = np.where(known, means, 0.0).sum(axis=0)
    counts = known.sum(axis=0)
    means_of_known: Doubles = np.divide(
        sums, counts, out=np.full_like(sums, np.nan), where=counts > 0
    )
    return means_of_known
