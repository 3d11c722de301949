"""Features whose clusters are known, because they were planted, in ever another way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

OUTLIER = -1
"""In place of the cluster of a point that belongs to none."""


@dataclass(frozen=True)
class Planted:
    """What was planted.

    Attributes:
        features: (n, d) float32 rows of length 1, the clusters in any order, outliers last.
        truth: (n,) cluster of each, from 0; -1 for an outlier.
        clusters: How many were planted.
    """

    features: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int64]
    clusters: int


def plant(
    generator: np.random.Generator,
    shares: Sequence[float],
    count: int,
    *,
    apart: float,
    signal: int = 16,
    dimensions: int = 64,
    noise: float = 0.2,
    outliers: float = 0.0,
) -> Planted:
    """Draw Gaussian clusters in a few dimensions, lift them to many, and add what they share.

    Args:
        generator: Of everything.
        shares: Relative size of each cluster.
        count: Points of all clusters.
        apart: Typical distance of two centres, in units of a cluster's spread.
        signal: Dimensions that the clusters lie in.
        dimensions: Of the features.
        noise: Spread in every dimension of the features.
        outliers: Share of points that lie anywhere.
    """
    weights = np.asarray(shares) / np.sum(shares)
    truth = generator.choice(len(weights), count, p=weights)
    centres = generator.normal(size=(len(weights), signal))
    centres *= apart / np.sqrt(2) / np.linalg.norm(centres, axis=1, keepdims=True)
    spreads = generator.uniform(0.7, 1.3, size=(len(weights), 1))
    points = centres[truth] + spreads[truth] * generator.normal(size=(count, signal))
    basis = np.linalg.qr(generator.normal(size=(dimensions, signal)))[0]
    features = points @ basis.T + noise * generator.normal(size=(count, dimensions))
    anywhere = generator.normal(size=(int(outliers * count), dimensions))
    anywhere *= np.linalg.norm(features, axis=1).mean() / np.sqrt(dimensions)
    features = np.concatenate([features, anywhere])
    features += 2 * generator.normal(size=dimensions)  # what a class's regions share
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    truth = np.concatenate([truth, np.full(len(anywhere), OUTLIER)])
    return Planted(features.astype(np.float32), truth, len(weights))


def varied(seed: int) -> Planted:
    """Draw a case: 1 to 8 clusters, and the rest at random.

    Clusters are up to ten times as large as others; noise, size, dimensions, the distance of the
    centres and the number of outliers vary.
    """
    generator = np.random.default_rng(seed)
    clusters = 1 + seed % 8
    ratio = generator.choice([1, 3, 10])
    count = int(generator.integers(200, 2000))
    if clusters > 1:
        count = clusters * int(generator.integers(60, 300))
    return plant(
        generator,
        np.geomspace(1, ratio, clusters).tolist(),
        count,
        apart=generator.uniform(5.0, 9.0),
        signal=int(generator.integers(12, 33)),
        dimensions=int(generator.choice([64, 128, 256])),
        noise=generator.uniform(0.0, 0.5),
        outliers=generator.choice([0.0, 0.01, 0.03]),
    )
