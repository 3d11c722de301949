"""`raypipe status`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from raypipe.cli import options

if TYPE_CHECKING:
    from raypipe.overview import Progress


def _so_far(progress: Progress) -> str:
    """Return what an unfinished step has done, in words."""
    left = f", {progress.images_left / progress.rate:,.0f} s left" if progress.rate else ""
    return (
        f"{progress.shards:,} shards done, {progress.shards_left:,} left; "
        f"{progress.images:,} images, {progress.rejects:,} rejected; "
        f"{progress.rate:,.1f} images a second{left}; last shard {progress.idle:,.0f} s ago"
    )


def status(
    run: options.RunDir = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Say what is done, what is stale and why, and what comes next."""
    from rich.console import Console
    from rich.table import Table

    from raypipe import overview

    pipeline = options.pipeline(run, config, sets)
    states = list(overview.states(pipeline))
    if as_json:
        typer.echo(json.dumps([asdict(item) for item in states], indent=2))
        return
    table = Table("step", "state", "rows", "seconds", "why", title=str(pipeline.run))
    colours = {"done": "green", "stale": "yellow", "partial": "yellow"}
    for item in states:
        counts = ", ".join(f"{count:,} {name}" for name, count in item.counts.items())
        if item.progress:
            counts = _so_far(item.progress)
        colour = colours.get(item.state, "dim")
        table.add_row(item.name, f"[{colour}]{item.state}[/]", counts, f"{item.seconds:.1f}",
                      "; ".join(item.reasons))  # fmt: skip
    Console().print(table)
    if following := overview.following(pipeline):
        typer.echo(f"next: {following}")
