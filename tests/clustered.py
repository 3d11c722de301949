"""A clustered run as the cluster step leaves it, of clusters made by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from raypipe.config import ClusterConfig
from raypipe.storage.clusters import PARTS, STEP, class_part
from raypipe.storage.run import Manifest, Plan, Run, content_hash
from raypipe.tables import ASSIGNMENTS, CLUSTERS, REFERENCES, SHARED, SPECTRA

Row = dict[str, Any]
Region = tuple[int, str, int, int, float]
"""Cluster, image, row, column, typicality."""

Feature = Sequence[float] | np.ndarray


@dataclass
class Clustered:
    """The clusters of one class.

    Attributes:
        regions: Each with its cluster.
        references: Cluster and feature of each; cluster 0 is the background bank.
        centre: Mean feature.
        groups: Group of each cluster that has one.
    """

    regions: list[Region]
    references: list[tuple[int, Feature]] = field(default_factory=list)
    centre: Feature = (0.0,)
    groups: dict[int, int] = field(default_factory=dict)


def membership(rows: Iterable[tuple[Any, ...]]) -> str:
    """Return what identifies regions that stand together."""
    return content_hash(map(repr, rows))


def write_clusters(run: Run, classes: Mapping[str, Clustered]) -> Manifest:
    """Write the files of each class, what is merged of them, and the manifest."""
    plan = Plan(STEP, ClusterConfig().identity(), {"extract": run.require("extract").identity})
    merged: dict[str, list[Row]] = {CLUSTERS.name: [], SPECTRA.name: []}
    for name, own in classes.items():
        rows = {
            REFERENCES.name: [
                {"class": name, "cluster": number, "feature": [float(value) for value in feature]}
                for number, feature in own.references
            ],
            ASSIGNMENTS.name: [{"class": name} | _assignment(region) for region in own.regions],
            CLUSTERS.name: _clusters(name, own),
            SPECTRA.name: [_spectrum(name, own)],
        }
        for table in PARTS:
            place = class_part(run, plan, table, name)
            place.write_table(table.build(rows[table.name]))
        for kind in merged:
            merged[kind] += rows[kind]
    grouped = {row["group"] for row in merged[CLUSTERS.name]} - {None}
    groups = [_group(number, merged[CLUSTERS.name]) for number in sorted(grouped)]
    for table, more in ((CLUSTERS, groups), (SPECTRA, [])):
        every: pa.Table = table.build(merged[table.name] + more)
        run.write(table, every, STEP, f"{table.name}.parquet")
    content = membership((name, *region) for name, own in classes.items() for region in own.regions)
    return run.finish(plan, {"classes": len(classes)}, {"failed": {}, "content": content})


def _assignment(region: Region) -> Row:
    names = ("cluster", "image_id", "row", "col", "typicality")
    return dict(zip(names, region, strict=True))


def _clusters(name: str, own: Clustered) -> list[Row]:
    """Return one row a cluster."""
    rows = []
    for number in sorted({region[0] for region in own.regions}):
        inside = [region[1:4] for region in own.regions if region[0] == number]
        rows.append({
            "class": name, "cluster": number, "regions": len(inside),
            "share": len(inside) / len(own.regions), "images": len({row[0] for row in inside}),
            "image_share": 1.0, "membership": membership(inside),
            "group": own.groups.get(number), "background": 0.0, "centroid": [0.0], "exemplars": [],
        })  # fmt: skip
    return rows


def _spectrum(name: str, own: Clustered) -> Row:
    return {
        "class": name, "eigenvalues": [1.0, 0.9, 0.4, 0.3], "clusters": 2, "reason": "gap",
        "components": 1, "isolated": 0, "residual": 0.0, "solver": "dense", "recall": 1.0,
        "regions": len(own.regions), "centre": list(own.centre),
    }  # fmt: skip


def _group(number: int, clusters: list[Row]) -> Row:
    """Return the row of a group."""
    members = [row for row in clusters if row["group"] == number]
    regions = sum(row["regions"] for row in members)
    return {
        "class": SHARED, "cluster": number, "regions": regions,
        "share": regions / sum(row["regions"] for row in clusters),
        "images": max(row["images"] for row in members), "image_share": 1.0,
        "membership": membership((row["class"], row["membership"]) for row in members),
        "group": None, "background": 0.0, "centroid": [0.0], "exemplars": [],
    }  # fmt: skip
