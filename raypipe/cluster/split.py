"""Splitting one cluster further, without touching the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from raypipe.cluster.assign import Clustering, cluster, typicality
from raypipe.config import ClusterConfig
from raypipe.errors import ConfigError


def split(found: Clustering, number: int, config: ClusterConfig) -> Clustering:
    """Split a cluster into as many as its own spectrum speaks for, at least two.

    The largest part keeps the number; the others get numbers after the last one, the largest
    first. All other clusters stay as they are, and so do the answers on them.

    Args:
        found: The clusters of a class.
        number: The cluster to split.
        config: Graph, number of clusters and seed.

    Raises:
        ConfigError: If there is no such cluster, or it has a single region.
    """
    own = np.flatnonzero(found.clusters == number)
    last = int(found.clusters.max())
    if len(own) < 2:
        raise ConfigError(
            f"no cluster {number} that could be split: there are {last} clusters",
            "look at the numbers on the sheet",
        )
    # Centred on the cluster's own mean: what its regions share says nothing about its parts.
    parts = cluster(found.unit[own], config)
    if parts.clusters.max() == 1:
        parts = cluster(found.unit[own], config, clusters=2)
    clusters = found.clusters.copy()
    clusters[own] = np.where(parts.clusters == 1, number, last - 1 + parts.clusters)
    return replace(found, clusters=clusters, typicality=typicality(found.unit, clusters))
