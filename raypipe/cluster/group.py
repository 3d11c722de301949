"""Grouping the clusters of all classes: what looks alike is answered once.

The second level of a two-level scheme: classes are cut into several clusters each, and the
clusters' mean features are clustered again. A thousand classes give thousands of points here, not
millions.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from raypipe.cluster.affinity import centred
from raypipe.cluster.rows import EXEMPLARS
from raypipe.columns import matrix
from raypipe.config import ClusterConfig
from raypipe.errors import ConfigError
from raypipe.storage.clusters import own_splits
from raypipe.tables import CLUSTERS, SHARED

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int32]

_PER_ROOT = 2.5


def group(centroids: Floats, sizes: Sequence[int], classes: int, config: ClusterConfig) -> Numbers:
    """Group clusters by their mean features, with k-means.

    On means k-means did better than spectral clustering (decision 10). How many groups there are is
    2.5 times the root of the number of classes unless the configuration says, for the same
    backgrounds come again: 10 groups for 14 classes, 80 for a thousand.

    Args:
        centroids: (m, d) mean features.
        sizes: (m,) regions of each cluster.
        classes: How many classes they are of.
        config: Seed, splits, and the number of groups as that of class `*`.

    Returns:
        (m,) int32 groups from 1, that of the most regions first; then what was split off.
    """
    unit = centred(centroids, np.average(centroids, axis=0, weights=sizes).astype(np.float32))
    weights = np.asarray(sizes, dtype=np.float64)
    wanted = config.clusters.get(SHARED) or math.ceil(_PER_ROOT * math.sqrt(classes))
    groups = _partition(unit, weights, wanted, config.seed)
    for number in own_splits(config.splits, SHARED):
        own = np.flatnonzero(groups == number)
        if len(own) < 2:
            raise ConfigError(
                f"group {number} cannot be split: it holds {len(own)} clusters",
                "split the cluster of the class instead",
            )
        parts = _partition(unit[own], weights[own], 2, config.seed)
        groups[own] = np.where(parts == 1, number, groups.max() - 1 + parts)
    return groups


def _partition(unit: Floats, weights: npt.NDArray[np.float64], count: int, seed: int) -> Numbers:
    """Return numbers from 1, the heaviest group first."""
    model = KMeans(n_clusters=min(count, len(unit)), n_init=10, random_state=seed)
    with threadpool_limits(1), warnings.catch_warnings():  # threads add up in any order
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than groups
        labels = model.fit_predict(unit, sample_weight=weights)
    order = np.argsort(-np.bincount(labels, weights=weights), kind="stable")
    ranks = np.empty(len(order), np.int32)
    ranks[order] = np.arange(1, len(order) + 1)
    return np.asarray(ranks[labels], dtype=np.int32)


def grouped(clusters: pa.Table, config: ClusterConfig) -> pa.Table:
    """Group the clusters of all classes.

    Args:
        clusters: Rows of `tables.CLUSTERS` of all classes.
        config: Number of groups and seed.

    Returns:
        The clusters with their group, and one row a group after them, of class `*`.
    """
    centroids = matrix(clusters["centroid"]).astype(np.float32)
    classes = pc.count_distinct(clusters["class"]).as_py()
    groups = group(centroids, clusters["regions"].to_pylist(), classes, config)
    rows = [
        _group_row(number, clusters.filter(pa.array(groups == number)))
        for number in np.unique(groups).tolist()
    ]
    for column, share in (("regions", "share"), ("images", "image_share")):
        total = sum(row[column] for row in rows)
        for row in rows:
            row[share] = row[column] / total
    at = clusters.schema.get_field_index("group")
    own = clusters.set_column(at, CLUSTERS.schema.field("group"), pa.array(groups))
    return pa.concat_tables([own, CLUSTERS.build(rows)])


def _group_row(number: int, members: pa.Table) -> dict[str, Any]:
    """Return the CLUSTERS row of a group, its shares still open."""
    rows = sorted(members.to_pylist(), key=lambda row: (-row["regions"], row["class"]))
    sizes = [row["regions"] for row in rows]
    # The most typical region of every member, then the next of every member: many classes.
    ranks = zip_longest(*(row["exemplars"] for row in rows))
    exemplars = [cell for rank in ranks for cell in rank if cell is not None]
    named = sorted(f"{row['class']}\t{row['membership']}" for row in rows)
    return {
        "class": SHARED,
        "cluster": number,
        "regions": sum(sizes),
        "images": sum(row["images"] for row in rows),
        "membership": hashlib.sha256("\n".join(named).encode()).hexdigest()[:12],
        "group": None,
        "background": np.average([row["background"] for row in rows], weights=sizes),
        "centroid": np.average([row["centroid"] for row in rows], axis=0, weights=sizes),
        "exemplars": exemplars[:EXEMPLARS],
    }
