"""The contenders of benchmarks/cluster.py: each turns features into the cluster of every row.

Imports are inside the functions: a contender's memory is that of what it needs itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[Any]


@dataclass(frozen=True)
class Asked:
    """What a contender is asked for.

    Attributes:
        clusters: The true number, told to all but raypipe.
        max_clusters: raypipe chooses a number up to this one.
        seed: Of k-means and of eigensolvers that start at random.
    """

    clusters: int
    max_clusters: int
    seed: int


def raypipe(features: Floats, asked: Asked) -> Labels:
    """Cluster as `raypipe cluster` does, all settings but the maximum as they come."""
    from raypipe.cluster.assign import cluster
    from raypipe.config import ClusterConfig

    config = ClusterConfig(max_clusters=asked.max_clusters, seed=asked.seed)
    return cluster(features, config).clusters


def sklearn(features: Floats, asked: Asked) -> Labels:
    """Use scikit-learn's spectral clustering with its own defaults on a graph like raypipe's."""
    from sklearn.cluster import SpectralClustering

    model = SpectralClustering(
        n_clusters=asked.clusters,
        affinity="nearest_neighbors",
        n_neighbors=20,
        random_state=asked.seed,
    )
    return np.asarray(model.fit_predict(features))


def kmeans(features: Floats, asked: Asked) -> Labels:
    """Use k-means on the features themselves."""
    from sklearn.cluster import KMeans

    model = KMeans(n_clusters=asked.clusters, n_init=10, random_state=asked.seed)
    return np.asarray(model.fit_predict(features))


def corelay(features: Floats, asked: Asked) -> Labels:
    """Follow corelay's spectral pipeline with its defaults, re-expressed with SciPy.

    All pairwise distances, sorted; a graph of 10 nearest neighbours with weights of one, averaged
    with its transpose; D^-1/2 A D^-1/2; the 32 eigenpairs of largest magnitude, rows scaled to
    length 1; k-means. (virelay/corelay, corelay/pipeline/spectral.py; its k-means has 2 clusters.)
    """
    from scipy import sparse
    from scipy.sparse.linalg import eigsh
    from scipy.spatial.distance import pdist, squareform
    from sklearn.cluster import KMeans

    count = len(features)
    near = min(10, count - 1)
    order = squareform(pdist(features)).argsort(axis=1)
    columns = order[:, 1 : near + 1].ravel()
    del order
    pointers = np.arange(0, count * near + 1, near)
    directed = sparse.csr_array((np.ones(count * near), columns, pointers), (count, count))
    graph = sparse.csr_array((directed + directed.T) / 2)
    scale = sparse.diags_array(1 / np.sqrt(np.asarray(graph.sum(axis=1)).ravel()))
    start = np.random.default_rng(asked.seed).uniform(-1, 1, count)
    normalised = sparse.csr_array(scale @ graph @ scale)
    vectors = eigsh(normalised, k=min(32, count - 1), which="LM", v0=start)[1]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    model = KMeans(n_clusters=asked.clusters, n_init=10, random_state=asked.seed)
    return np.asarray(model.fit_predict(vectors))


METHODS: dict[str, Callable[[Floats, Asked], Labels]] = {
    "raypipe": raypipe,
    "sklearn": sklearn,
    "kmeans": kmeans,
    "corelay": corelay,
}
