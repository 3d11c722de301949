"""From eigenvectors to numbered clusters, the largest first. Plain NumPy and scikit-learn."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans

from raypipe.cluster.affinity import centred, knn_graph
from raypipe.cluster.spectrum import Spectrum, choose_clusters, spectrum
from raypipe.config import ClusterConfig

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Clustering:
    """The clusters of one class's n regions.

    Attributes:
        clusters: (n,) int32 from 1, the largest cluster first.
        typicality: (n,) float32 cosine to the cluster's mean direction.
        centre: (d,) float32 mean feature that was subtracted.
        spectrum: Of the affinity graph.
    """

    clusters: Numbers
    typicality: Floats
    centre: Floats
    spectrum: Spectrum


def cluster(features: Floats, config: ClusterConfig) -> Clustering:
    """Cluster the regions of one class (Ng, Jordan & Weiss, NIPS 2001).

    Args:
        features: (n, d) rows of length 1, n at least 1.
        config: Graph, number of clusters and seed.
    """
    centre = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    unit = centred(features, centre)
    graph = knn_graph(unit, config.neighbors)
    found = spectrum(graph, config.max_clusters + 1, config.seed)
    chosen = choose_clusters(found.values, config)
    labels = _partition(found.vectors[:, :chosen], chosen, config.seed)
    labels = _absorb(unit, labels, config.min_share)
    clusters = _numbered(labels)
    return Clustering(clusters, _typicality(unit, clusters), centre, found)


def _partition(vectors: npt.NDArray[np.float64], count: int, seed: int) -> Numbers:
    """k-means on the eigenvectors' rows, scaled to length 1."""
    if count == 1:
        return np.zeros(len(vectors), dtype=np.int32)
    rows = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    model = KMeans(n_clusters=count, n_init=10, random_state=seed)
    return np.asarray(model.fit_predict(rows), dtype=np.int32)


def _absorb(unit: Floats, labels: Numbers, min_share: float) -> Numbers:
    """Move clusters too small to deserve a question to the nearest larger one, by mean cosine."""
    sizes = np.bincount(labels)
    large = np.flatnonzero(sizes >= min(min_share * len(labels), sizes.max()))
    small = np.isin(labels, large, invert=True)
    if not small.any():
        return labels
    means = np.stack([unit[labels == name].mean(axis=0) for name in large])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    merged = labels.copy()
    merged[small] = large[np.argmax(unit[small] @ means.T, axis=1)]
    return merged


def _numbered(labels: Numbers) -> Numbers:
    """Number clusters from 1, the largest first, ties by their first region."""
    names, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    order = np.lexsort((first, -sizes))
    numbers = np.zeros(names.max() + 1, dtype=np.int32)
    numbers[names[order]] = np.arange(1, len(names) + 1)
    return numbers[labels]


def _typicality(unit: Floats, clusters: Numbers) -> Floats:
    """Return each region's cosine to its cluster's mean direction."""
    typicality = np.zeros(len(unit), dtype=np.float32)
    for number in range(1, int(clusters.max()) + 1):
        own = clusters == number
        mean = unit[own].mean(axis=0)
        typicality[own] = unit[own] @ (mean / max(float(np.linalg.norm(mean)), 1e-12))
    return typicality


def membership_fingerprint(regions: list[tuple[str, int, int]], clusters: Numbers) -> str:
    """Hash which regions stand together, so that labels hold as long as the clusters do.

    Args:
        regions: Image, row and column of each region.
        clusters: (n,) cluster of each.

    Returns:
        12 hexadecimal digits.
    """
    lines = sorted(
        f"{number}\t{image}\t{row}\t{col}"
        for (image, row, col), number in zip(regions, clusters.tolist(), strict=True)
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
