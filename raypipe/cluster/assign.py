"""From features to numbered clusters, the largest first. Plain NumPy and scikit-learn."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from raypipe.cluster.affinity import Neighbors, centred, knn_graph, nearest
from raypipe.cluster.background import background_shares, merge_alike
from raypipe.cluster.number import Number, choose_number
from raypipe.cluster.spectrum import Spectrum, spectrum
from raypipe.config import ClusterConfig
from raypipe.errors import InputError

_FAR_OUT = 3.0  # quartile distances above the upper quartile (Tukey 1977)
_ROUNDING = 1e-5
_UNBALANCED = 10  # times the smallest cluster's size that the largest may have

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Clustering:
    """The clusters of one class's n regions.

    Attributes:
        clusters: (n,) int32 from 1, the largest cluster first.
        shares: (n,) float32 share of the background bank among the nearest neighbours of a region;
            NaN where it was not looked at, 0 without a bank.
        typicality: (n,) float32 cosine to the cluster's mean direction.
        centre: (d,) float32 feature that was subtracted: the mean of all regions, or of the
            clusters' means where their sizes differ much.
        unit: (n, d) float32 centred features, rows of length 1.
        spectrum: Of the affinity graph, without what is isolated.
        number: How many clusters, and what decided it.
        isolated: Regions in components too small to be a cluster, which joined the nearest one.
        recall: Share of the true neighbours that are in the graph.
    """

    clusters: Numbers
    shares: Floats
    typicality: Floats
    centre: Floats
    unit: Floats
    spectrum: Spectrum
    number: Number
    isolated: int
    recall: float


def cluster(
    features: Floats,
    config: ClusterConfig,
    *,
    bank: Floats | None = None,
    clusters: int | None = None,
    gpu: bool = False,
) -> Clustering:
    """Cluster the regions of one class (Ng, Jordan & Weiss, NIPS 2001).

    Args:
        features: (n, d) rows of length 1, n at least 1.
        config: Graph, number of clusters and seed.
        bank: (m, d) features of the class's background bank.
        clusters: Number of clusters, where it is known; fewer where there are fewer regions.
        gpu: Search neighbours on a CUDA device.

    Raises:
        InputError: If a feature is not finite.
    """
    broken = int((~np.isfinite(features).all(axis=1)).sum())
    if broken:
        raise InputError(
            f"{broken:,} of {len(features):,} regions have features that are not finite",
            "extract again with --fresh, with --set localizer.precision=float32",
        )
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    around = partial(
        cluster_around, features=features, config=config, bank=bank, clusters=clusters, gpu=gpu
    )
    found = around(mean)
    sizes = np.bincount(found.clusters)[1:]
    if sizes[0] <= _UNBALANCED * sizes[-1]:
        return found
    # The mean lies inside a cluster that is much larger than the rest: seen from there it has no
    # direction. The middle of the clusters tells them apart.
    middle = np.stack([features[found.clusters == n + 1].mean(axis=0) for n in range(len(sizes))])
    return around(middle.mean(axis=0))


def cluster_around(
    centre: Floats,
    features: Floats,
    config: ClusterConfig,
    *,
    bank: Floats | None = None,
    clusters: int | None = None,
    gpu: bool = False,
) -> Clustering:
    """Cluster regions by their direction from a (d,) centre; see `cluster`."""
    unit = centred(features, centre)
    most = config.max_clusters if clusters is None else clusters
    found = nearest(unit, config.neighbors, gpu=gpu)
    graph = knn_graph(found)
    # Who gives the number may know of a cluster that would not be worth a question.
    least = config.min_share if clusters is None else config.min_share / 2
    large = _core(graph, remoteness(found), most, least)
    core = large if len(large) else np.arange(len(unit))
    inner = sparse.csr_array(graph[core][:, core]) if len(core) < len(unit) else graph
    top = spectrum(inner, most + 1, config.seed)
    if clusters is not None:
        number = Number(min(clusters, len(core)), "given")
    elif len(large):
        number = choose_number(top.values, config)
    else:
        number = Number(1, "structure")  # nothing hangs together, as copies of one region
    labels = np.full(len(unit), -1, np.int32)
    labels[core] = _partition(top.vectors[:, : number.clusters], number.clusters)
    labels = _absorb(unit, labels, config.min_share if clusters is None else 0.0)
    shares = np.zeros(len(unit), np.float32)
    if bank is not None and len(bank):
        shares = background_shares(unit, centred(bank, centre))
        if number.reason == "budget":  # a clear gap has more to say
            labels = merge_alike(labels, shares, config.alike)
    numbered = _numbered(labels)
    return Clustering(
        clusters=numbered,
        shares=shares,
        typicality=typicality(unit, numbered),
        centre=centre,
        unit=unit,
        spectrum=top,
        number=number,
        isolated=len(unit) - len(core),
        recall=found.recall,
    )


def remoteness(found: Neighbors) -> Floats:
    """Return how much farther points are from their neighbours than those are from theirs.

    Near 1 within a cluster, loose or dense (after the local outlier factor of Breunig, Kriegel, Ng
    & Sander, SIGMOD 2000, without its reachability).

    Args:
        found: Neighbours of n points.

    Returns:
        (n,) float32.
    """
    if not found.indices.size:
        return np.ones(len(found.indices), np.float32)
    # Among copies distances are rounding.
    apart = np.maximum(1 - found.similarity.mean(axis=1), _ROUNDING)
    return np.asarray(apart / apart[found.indices].mean(axis=1), dtype=np.float32)


def _core(
    graph: sparse.csr_array, remote: Floats, most: int, min_share: float
) -> npt.NDArray[np.intp]:
    """Return the points that may make clusters: those of large components that are no outliers.

    Outliers, and copies of one image, stand apart from the rest; none of them deserves a question,
    and each would take an eigenvalue near 1. No points where no component is large.

    Args:
        graph: (n, n) weights.
        remote: (n,) as `remoteness` says.
        most: Components at most.
        min_share: Smaller components are left out.
    """
    low, high = np.quantile(remote, [0.25, 0.75])
    # Among copies quartiles are equal but for rounding.
    outlying = remote > high + _FAR_OUT * max(high - low, _ROUNDING)
    links = sparse.diags_array((~outlying).astype(float))
    _, labels = sparse.csgraph.connected_components(links @ graph @ links, directed=False)
    sizes = np.bincount(labels)
    order = np.argsort(-sizes, kind="stable")[:most]
    large = order[sizes[order] >= max(min_share * len(labels), 2)]
    return np.flatnonzero(np.isin(labels, large))


def _partition(vectors: npt.NDArray[np.float64], count: int) -> Numbers:
    """Cluster the eigenvectors' rows, from a start that needs no seed.

    Rows are not scaled to length 1: that moves the border into the larger of two unequal
    clusters. Adjusted Rand index on planted clusters, scaled against not: 0.91 and 0.99 where they
    are 50 : 50 : 1, 0.94 and 0.96 over 105 cases of all kinds, the same where they overlap.

    The rows that a pivoted QR decomposition picks are the most independent ones, one a cluster
    (Damle, Minden & Ying, Inf. Inference 2019); k-means goes on from there.
    """
    if count == 1:
        return np.zeros(len(vectors), dtype=np.int32)
    with threadpool_limits(1):  # threads add up in any order, and gain nothing here
        _, pivots = linalg.qr(vectors.T, mode="r", pivoting=True)
        left, _, right = np.linalg.svd(vectors[pivots[:count]].T)
        nearest_axis = np.argmax(np.abs(vectors @ (left @ right)), axis=1)
        present = np.unique(nearest_axis)
        start = np.stack([vectors[nearest_axis == axis].mean(axis=0) for axis in present])
        model = KMeans(n_clusters=len(present), init=start, n_init=1)
        return np.asarray(model.fit_predict(vectors), dtype=np.int32)


def _absorb(unit: Floats, labels: Numbers, min_share: float) -> Numbers:
    """Move what is too small to deserve a question to the nearest larger cluster, by mean cosine.

    Args:
        unit: (n, d) rows of length 1.
        labels: (n,) from 0; -1 = isolated.
        min_share: Smaller clusters are moved.
    """
    sizes = np.bincount(labels[labels >= 0])
    large = np.flatnonzero((sizes >= min(min_share * len(labels), sizes.max())) & (sizes > 0))
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


def typicality(unit: Floats, clusters: Numbers) -> Floats:
    """Return each region's cosine to its cluster's mean direction."""
    typical = np.zeros(len(unit), dtype=np.float32)
    for number in np.unique(clusters):
        own = clusters == number
        mean = unit[own].mean(axis=0)
        typical[own] = unit[own] @ (mean / max(float(np.linalg.norm(mean)), 1e-12))
    return typical


def membership(regions: Sequence[tuple[str, int, int]]) -> str:
    """Hash which regions a cluster holds, so that its label stands as long as it does.

    Args:
        regions: Image, row and column of each, in any order.

    Returns:
        12 hexadecimal digits.
    """
    lines = sorted(f"{image}\t{row}\t{col}" for image, row, col in regions)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
