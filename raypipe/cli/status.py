"""`raypipe status`."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from raypipe.cli import options


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
        colour = colours.get(item.state, "dim")
        table.add_row(item.name, f"[{colour}]{item.state}[/]", counts, f"{item.seconds:.1f}",
                      "; ".join(item.reasons))  # fmt: skip
    Console().print(table)
    if following := overview.following(pipeline):
        typer.echo(f"next: {following}")
