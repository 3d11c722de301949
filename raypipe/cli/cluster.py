"""`raypipe cluster`."""

from __future__ import annotations

from typing import Annotated

import typer

from raypipe.cli import options
from raypipe.errors import UsageError


def cluster(
    run: options.RunDir = None,
    max_clusters: Annotated[
        int | None, typer.Option("--max-clusters", min=1, help="Clusters of a class, at most.")
    ] = None,
    scope: Annotated[
        str | None,
        typer.Option(
            "--scope", help="class, or all: look-alike clusters of all classes answered at once."
        ),
    ] = None,
    clusters: Annotated[
        list[str] | None,
        typer.Option("--clusters", help="Number of clusters of a class, as boat=4; repeatable."),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option("--split", help="Split a mixed cluster further, as boat/2; repeatable."),
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
    """Cluster each class's regions; the number of clusters comes from the spectrum.

    --clusters and --split change the classes they name and no other; answers on clusters that stay
    as they are stay, too.
    """
    given = dict(_number(item) for item in clusters or ())
    sections = {
        "cluster": {
            "max_clusters": max_clusters,
            "scope": scope,
            "clusters": given or None,
            "neighbors": neighbors,
        }
    }
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
        for item in split or ():
            pipeline.split(item)
        options.report(pipeline.cluster(), as_json=as_json)


def _number(item: str) -> tuple[str, int]:
    """Return class and number of `class=number`."""
    name, _, number = item.rpartition("=")
    if not name or not number.isdigit():
        raise UsageError(f"--clusters {item}: not class=number", "as --clusters boat=4")
    return name, int(number)
