"""`raypipe cluster`."""

from __future__ import annotations

from typing import Annotated

import typer

from raypipe.cli import options


def cluster(
    run: options.RunDir = None,
    max_clusters: Annotated[
        int | None, typer.Option("--max-clusters", min=1, help="Clusters of a class, at most.")
    ] = None,
    neighbors: Annotated[
        int | None, typer.Option("--neighbors", min=1, help="Nearest neighbours of the graph.")
    ] = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    address: options.Address = None,
    cpus: options.Cpus = None,
    fresh: options.Fresh = False,
    partial: options.Partial = False,
    as_json: options.Json = False,
) -> None:
    """Cluster each class's regions; the number of clusters comes from the spectrum."""
    sections = {"cluster": {"max_clusters": max_clusters, "neighbors": neighbors}}
    with options.pipeline(
        run,
        config,
        sets,
        address=address,
        cpus=cpus,
        fresh=fresh,
        partial=partial,
        sections=sections,
    ) as pipeline:
        options.report(pipeline.cluster(), as_json=as_json)
