"""The clusters of one class as tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raypipe.cluster.affinity import centred
from raypipe.cluster.assign import Clustering, membership
from raypipe.cluster.background import cluster_means
from raypipe.columns import matrix_column
from raypipe.config import ClusterConfig
from raypipe.storage.regions import ClassRegions
from raypipe.tables import ASSIGNMENTS, CLUSTERS, REFERENCES, SPECTRA

EXEMPLARS = 16
"""Most typical regions kept of a cluster, each of another image."""

Floats = npt.NDArray[np.float32]


def class_tables(
    name: str,
    regions: ClassRegions,
    bank: ClassRegions,
    found: Clustering,
    config: ClusterConfig,
) -> dict[str, pa.Table]:
    """Return the rows of a class in each of the tables that have one file a class.

    Args:
        name: The class.
        regions: Its n foreground regions.
        bank: Its background bank.
        found: The clusters of the regions.
        config: How many references to keep.
    """
    return {
        REFERENCES.name: _references(name, bank, found, config),
        ASSIGNMENTS.name: _assignments(name, regions, found),
        CLUSTERS.name: CLUSTERS.build(_clusters(name, regions, found)),
        SPECTRA.name: SPECTRA.build([spectrum_row(name, found)]),
    }


def _assignments(name: str, regions: ClassRegions, found: Clustering) -> pa.Table:
    images, rows, cols = zip(*regions.keys, strict=True)
    columns = {
        "class": [name] * len(images),
        "cluster": found.clusters,
        "image_id": images,
        "row": rows,
        "col": cols,
        "typicality": found.typicality,
    }
    return pa.table(columns, schema=ASSIGNMENTS.schema)


def _references(
    name: str, bank: ClassRegions, found: Clustering, config: ClusterConfig
) -> pa.Table:
    """Sample what cells are compared with, the same whatever the clusters are."""
    generator = np.random.default_rng(config.seed)
    own = sampled(len(found.unit), config.references, generator)
    rest = sampled(len(bank.keys), config.references, generator)
    clusters = np.concatenate([found.clusters[own], np.zeros(len(rest), np.int32)])
    features = found.unit[own]
    if len(rest):
        features = np.concatenate([features, centred(bank.features[rest], found.centre)])
    columns = {
        "class": [name] * len(clusters),
        "cluster": clusters,
        "feature": matrix_column(features, np.float16),
    }
    return pa.table(columns, schema=REFERENCES.schema)


def sampled(count: int, most: int, generator: np.random.Generator) -> npt.NDArray[np.intp]:
    """Return at most so many of the first `count` numbers, ascending."""
    if count <= most:
        return np.arange(count)
    return np.sort(generator.choice(count, most, replace=False))


def _clusters(name: str, regions: ClassRegions, found: Clustering) -> list[dict[str, Any]]:
    """Return one row a cluster."""
    keys = regions.keys
    backgrounds = cluster_means(found.shares, found.clusters)
    all_images = len({image for image, _, _ in keys})
    rows = []
    for number in np.unique(found.clusters).tolist():
        own = np.flatnonzero(found.clusters == number)
        members = [keys[at] for at in own]
        images = len({image for image, _, _ in members})
        rows.append({
            "class": name,
            "cluster": number,
            "regions": len(own),
            "share": len(own) / len(keys),
            "images": images,
            "image_share": images / all_images,
            "membership": membership(members),
            "group": None,
            "background": backgrounds[number],
            "centroid": regions.features[own].mean(axis=0).astype(np.float16),
            "exemplars": _exemplars(members, found.typicality[own]),
        })  # fmt: skip
    return rows


def _exemplars(members: list[tuple[str, int, int]], typicality: Floats) -> list[dict[str, Any]]:
    """Return the most typical regions, each of another image."""
    chosen: dict[str, dict[str, Any]] = {}
    for at in np.argsort(-typicality, kind="stable").tolist():
        image, row, col = members[at]
        chosen.setdefault(image, {"image_id": image, "row": row, "col": col})
        if len(chosen) == EXEMPLARS:
            break
    return list(chosen.values())


def spectrum_row(name: str, found: Clustering) -> dict[str, Any]:
    """Return the SPECTRA row of a class."""
    return {
        "class": name,
        "eigenvalues": found.spectrum.values.tolist(),
        "clusters": len(np.unique(found.clusters)),
        "reason": found.number.reason,
        "components": found.spectrum.components,
        "isolated": found.isolated,
        "residual": found.spectrum.residual,
        "solver": found.spectrum.solver,
        "recall": found.recall,
        "regions": len(found.clusters),
        "centre": found.centre,
    }
