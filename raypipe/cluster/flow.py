"""Cluster: one task a class; each reads its regions, clusters them and writes their clusters."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from raypipe.cluster.assign import cluster, membership_fingerprint
from raypipe.config import ClusterConfig, Settings
from raypipe.engine import Engine
from raypipe.errors import InputError
from raypipe.progress import tracking
from raypipe.storage.location import Location
from raypipe.storage.parts import Parts
from raypipe.storage.regions import read_regions, region_files
from raypipe.storage.run import Manifest, Plan, Run
from raypipe.tables import ASSIGNMENTS, CLUSTERS, SPECTRA

STEP = "cluster"


def plan(run: Run, settings: Settings) -> Plan:
    """Say what clustering would do."""
    upstream = {"extract": run.require("extract").identity}
    return Plan(STEP, settings.cluster.identity(), upstream)


def execute(run: Run, settings: Settings, engine: Engine) -> Manifest:
    """Cluster every class that has regions.

    Raises:
        InputError: If no class has any.
    """
    step = plan(run, settings)
    files = region_files(run)
    if not files:
        raise InputError(
            f"{run}: extract kept no regions", "look at extract/rejects and extract again"
        )
    run.begin(step)

    # 1. One task a class, the one spread over the most files first; only summaries come back.
    names = sorted(files, key=lambda name: (-len(files[name]), name))
    summaries: dict[str, dict[str, Any]] = {}
    with tracking("clustering", len(names), "classes") as tracker:
        tasks = engine.tasks(_cluster_class, names, run, step, settings.cluster, files)
        for name, summary in tasks:
            if summary is not None:
                summaries[name] = summary
            tracker.advance(1)

    # 2. One row a cluster and one a class.
    ordered = [summaries[name] for name in sorted(summaries)]
    clusters = [row for summary in ordered for row in summary["clusters"]]
    run.write(CLUSTERS, CLUSTERS.build(clusters), STEP, "clusters.parquet")
    spectra = SPECTRA.build([summary["spectrum"] for summary in ordered])
    run.write(SPECTRA, spectra, STEP, "spectra.parquet")
    Parts(run, step, "assignments").remove_others()
    counts = {
        "classes": len(ordered),
        "clusters": len(clusters),
        "regions": sum(row["regions"] for row in clusters),
    }
    return run.finish(step, counts)


def _cluster_class(
    name: str, run: Run, step: Plan, config: ClusterConfig, files: dict[str, list[Location]]
) -> dict[str, Any] | None:
    """Cluster one class and write its assignments; None if it has no foreground region."""
    regions = read_regions(files[name], name, background=False)
    if not regions.keys:
        return None
    found = cluster(regions.features, config)
    table = pa.table(
        {
            "class": [name] * len(regions.keys),
            "cluster": found.clusters,
            "image_id": [image for image, _, _ in regions.keys],
            "row": [row for _, row, _ in regions.keys],
            "col": [col for _, _, col in regions.keys],
            "typicality": found.typicality,
        },
        schema=ASSIGNMENTS.schema,
    )
    Parts(run, step, "assignments").place(name).write_table(table)
    clustering = membership_fingerprint(regions.keys, found.clusters)
    images = [image for image, _, _ in regions.keys]
    spectrum = {
        "class": name,
        "clustering": clustering,
        "eigenvalues": found.spectrum.values.tolist(),
        "clusters": int(found.clusters.max()),
        "components": found.spectrum.components,
        "residual": found.spectrum.residual,
        "regions": len(regions.keys),
        "centre": found.centre,
    }
    rows = _cluster_rows(name, clustering, found.clusters, images)
    return {"clusters": rows, "spectrum": spectrum}


def _cluster_rows(
    name: str, clustering: str, clusters: np.ndarray[Any, Any], images: list[str]
) -> list[dict[str, Any]]:
    """Return one row a cluster."""
    sizes = Counter(clusters.tolist())
    inside = Counter(number for number, _ in set(zip(clusters.tolist(), images, strict=True)))
    return [
        {
            "class": name,
            "cluster": number,
            "regions": sizes[number],
            "share": sizes[number] / len(images),
            "images": inside[number],
            "image_share": inside[number] / len(set(images)),
            "clustering": clustering,
        }
        for number in sorted(sizes)
    ]
