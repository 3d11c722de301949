"""Features with clusters that are known, because they were planted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int32]

SIGNAL = 32
"""Dimensions that the clusters differ in; all others hold noise alone."""

SPREAD = 0.2
"""Of a cluster in each dimension of the signal, where centres are about 1.4 apart: the clusters
overlap a little. With 8 of them the best adjusted Rand index is about 0.99."""

_NOISE = 0.5  # length of the noise, where a centre has length 1


def planted(
    count: int, dimensions: int, clusters: int, seed: int, spread: float = SPREAD
) -> tuple[Floats, Numbers]:
    """Draw clusters in a few dimensions, lift them to many and add noise.

    The largest cluster is about twice the smallest.

    Args:
        count: n, features.
        dimensions: d; the signal takes 32 of them, or all where there are fewer.
        clusters: How many; fewer where there are fewer features.
        seed: Of everything.
        spread: Standard deviation of a cluster in each dimension of the signal.

    Returns:
        (n, d) float32 rows of length 1 in random order, and the cluster of each, from 0.
    """
    generator = np.random.default_rng(seed)
    signal = min(SIGNAL, dimensions)
    shares = np.linspace(1.0, 2.0, clusters)
    ends = np.round(np.cumsum(shares) / shares.sum() * count)
    labels = np.searchsorted(ends, np.arange(count), side="right").astype(np.int32)
    generator.shuffle(labels)
    centres = unit(generator.standard_normal((clusters, signal), np.float32))
    points = centres[labels]
    points += np.float32(spread) * generator.standard_normal((count, signal), np.float32)
    basis = np.linalg.qr(generator.standard_normal((dimensions, signal)))[0].T
    features = generator.standard_normal((count, dimensions), np.float32)
    features *= np.float32(_NOISE / np.sqrt(dimensions))
    features += points @ basis.astype(np.float32)
    return unit(features), labels


def unit(rows: Floats) -> Floats:
    """Scale rows to length 1."""
    scaled: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return scaled
