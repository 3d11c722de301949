"""Ways to cluster a split's regions: the product's, and what it is compared with.

Each is a small frozen dataclass, so that its `repr` says all that its result follows from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal
from unittest import mock

import numpy as np
import numpy.typing as npt
from scipy import sparse

from benchmarks.splits import Regions, Split
from raypipe.cluster.affinity import Neighbors, centred, knn_graph
from raypipe.cluster.assign import Clustering, cluster, cluster_around
from raypipe.cluster.group import group
from raypipe.cluster.rows import sampled
from raypipe.config import ClusterConfig
from raypipe.maps import Floats
from raypipe.tables import SHARED

Numbers = npt.NDArray[np.int32]
Groups = dict[tuple[str, int], int]
Clusterer = Callable[[Split, int], tuple[dict[str, Numbers], Groups]]
"""From a split and a seed to the clusters of each class, and the group of those that have one."""

_SCALE_AT = 7  # neighbour whose distance is a point's scale (Zelnik-Manor & Perona, NIPS 2004)


@dataclass(frozen=True)
class PerClass:
    """One clustering a class, scope `class`.

    Attributes:
        number: Clusters: by the product's rule, at the largest eigengap, or so many.
        neighbors: Of the graph.
        centred: Subtract the class mean.
        scaled: Weigh edges by local scaling instead of by their cosine.
        alike: Clusters whose background shares differ by less are one question.
    """

    number: Literal["rule", "gap"] | int = "rule"
    neighbors: int = ClusterConfig().neighbors
    centred: bool = True
    scaled: bool = False
    alike: float = ClusterConfig().alike

    def __call__(self, split: Split, seed: int) -> tuple[dict[str, Numbers], Groups]:
        """Cluster every class."""
        config = ClusterConfig(neighbors=self.neighbors, seed=seed, alike=self.alike)
        graph = locally_scaled if self.scaled else knn_graph
        with mock.patch("raypipe.cluster.assign.knn_graph", graph):
            found = {name: self._clustered(own, config) for name, own in split.regions.items()}
        return {name: own.clusters for name, own in found.items()}, {}

    def _clustered(self, own: Regions, config: ClusterConfig) -> Clustering:
        if self.number == "rule" and self.centred:
            return cluster(own.features, config, bank=own.bank)
        centre = mean(own.features) if self.centred else np.zeros(own.features.shape[1], np.float32)
        if self.number == "rule":
            return cluster_around(centre, own.features, config, bank=own.bank)
        number = self.number
        if number == "gap":
            values = cluster_around(centre, own.features, config).spectrum.values
            number = int(np.argmax(values[:-1] - values[1:])) + 1
        return cluster_around(centre, own.features, config, clusters=number)


@dataclass(frozen=True)
class TwoLevel:
    """Clusters of classes, look-alikes of all classes grouped: scope `all`.

    Attributes:
        groups: So many; 0 = by the product's rule.
        parts: Clusters of each class; 0 = by its own spectrum, as the product has them.
    """

    groups: int = 0
    parts: int = 0

    def __call__(self, split: Split, seed: int) -> tuple[dict[str, Numbers], Groups]:
        """Cluster every class, then the clusters' means."""
        clusters, _ = PerClass(self.parts or "rule")(split, seed)
        return clusters, grouped(split, clusters, ClusterConfig(seed=seed), self.groups)


def grouped(
    split: Split, clusters: dict[str, Numbers], config: ClusterConfig, groups: int
) -> Groups:
    """Group clusters by their means, as the product does; 0 groups = by its rule."""
    keys = [(name, at) for name, own in clusters.items() for at in np.unique(own).tolist()]
    means = [mean(split.features[name][clusters[name] == at]) for name, at in keys]
    centroids = np.stack(means).astype(np.float16).astype(np.float32)  # as the table has them
    if groups:
        config = config.model_copy(update={"clusters": {SHARED: groups}})
    sizes = [int((clusters[name] == at).sum()) for name, at in keys]
    found = group(centroids, sizes, len(clusters), config)
    return dict(zip(keys, found.tolist(), strict=True))


@dataclass(frozen=True)
class OneLevel:
    """One clustering of a sample of all classes' regions; the other regions join by their cosine.

    Attributes:
        groups: Number of clusters.
        sample: Regions of a class.
    """

    groups: int
    sample: int = 1000

    def __call__(self, split: Split, seed: int) -> tuple[dict[str, Numbers], Groups]:
        """Cluster all classes at once, centred on the mean of all."""
        generator = np.random.default_rng(seed)
        drawn = [own[sampled(len(own), self.sample, generator)] for own in split.features.values()]
        centre = mean(np.concatenate(drawn))
        config = ClusterConfig(seed=seed)
        one = cluster_around(centre, np.concatenate(drawn), config, clusters=self.groups)
        names = np.unique(one.clusters)
        means = np.stack([mean(one.unit[one.clusters == name]) for name in names])
        directions = centred(means, np.zeros_like(centre))
        clusters = {
            name: names[np.argmax(centred(own, centre) @ directions.T, axis=1)]
            for name, own in split.features.items()
        }
        groups = {
            (name, at): at for name, own in clusters.items() for at in np.unique(own).tolist()
        }
        return clusters, groups


def locally_scaled(found: Neighbors) -> sparse.csr_array:
    """Return the graph of self-tuning weights, exp(-d_ij² / (σ_i σ_j)).

    σ is the distance to the seventh neighbour (Zelnik-Manor & Perona, NIPS 2004); d² = 2 - 2 cos.
    """
    squares = 2 - 2 * np.clip(found.similarity, -1.0, 1.0)
    scales = np.sqrt(np.maximum(squares[:, min(_SCALE_AT, squares.shape[1]) - 1], 1e-12))
    weights = np.exp(-squares / (scales[:, None] * scales[found.indices]))
    return knn_graph(replace(found, similarity=weights.astype(np.float32)))


def mean(features: Floats) -> Floats:
    """Return the mean of rows, summed in double precision."""
    return np.asarray(features.mean(axis=0, dtype=np.float64), dtype=np.float32)
