"""What the background says of clusters before anybody is asked. Plain NumPy.

The cells of a class's images with almost no score, the background bank, are free examples of
what is not the object. A cluster that stands among them is a distractor more often than not: on
MSRC, the share of the bank among a cluster's neighbours has a correlation of -0.7 with the share
of its regions that lie on the object. So two clusters that share alike with the background are
likely to get the same answer, and one question does for both. Near the class's mean share the
answer turns, so a cluster above it and one below are never alike.
"""

from __future__ import annotations

import faiss
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int32]

_NEIGHBORS = 50
_SAMPLE = 2000  # regions of a class that are looked at: 40 of the smallest cluster


def background_shares(unit: Floats, bank: Floats) -> Floats:
    """Return the share of the bank among the nearest neighbours of regions.

    Args:
        unit: (n, d) regions, rows of length 1.
        bank: (m, d) background bank, likewise.

    Returns:
        (n,) float32 in 0..1; NaN where a region was not looked at.
    """
    sample = np.unique(np.linspace(0, len(unit) - 1, _SAMPLE).astype(np.int64))
    both = np.concatenate([unit, bank])
    most = min(_NEIGHBORS + 1, len(both))
    found = faiss.knn(unit[sample], both, most, metric=faiss.METRIC_INNER_PRODUCT)[1]
    shares = np.full(len(unit), np.nan, np.float32)
    shares[sample] = (found >= len(unit)).sum(axis=1) / max(most - 1, 1)
    return shares


def cluster_means(shares: Floats, clusters: Numbers) -> dict[int, float]:
    """Return the mean share of each cluster; that of all where none of its regions has one."""
    overall = float(np.nanmean(shares))
    means = {}
    for number in np.unique(clusters).tolist():
        own = shares[clusters == number]
        known = own[~np.isnan(own)]
        means[number] = float(known.mean()) if len(known) else overall
    return means


def merge_alike(clusters: Numbers, shares: Floats, alike: float) -> Numbers:
    """Join clusters that share as much with the background, the most alike pair first.

    Args:
        clusters: (n,) numbers.
        shares: (n,) what `background_shares` returned.
        alike: Two clusters are alike whose shares differ by less than this, in units of the
            mean share of all regions, and which lie on the same side of that mean.

    Returns:
        (n,) numbers; the lower one of a pair stays.
    """
    overall = float(np.nanmean(shares))
    if overall * _NEIGHBORS < 1:
        return clusters  # not one neighbour in the background: shares are chance
    merged = clusters.copy()
    while True:
        means = cluster_means(shares, merged)
        names = np.array(list(means))
        values = np.array(list(means.values())) / overall
        sides = values > 1
        barred = np.tri(len(names), dtype=bool) | (sides[:, None] != sides)
        apart = np.where(barred, np.inf, np.abs(values[:, None] - values))
        if apart.min() >= alike:
            return merged
        keep, drop = names[list(np.unravel_index(np.argmin(apart), apart.shape))]
        merged[merged == drop] = keep
