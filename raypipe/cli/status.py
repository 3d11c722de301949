"""`raypipe status`."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli import options

if TYPE_CHECKING:
    from rich.table import Table

    from raypipe.overview import Progress, StepState
    from raypipe.pipeline import Pipeline


def _so_far(progress: Progress) -> str:
    """Return what an unfinished step has done, in words."""
    left = ""
    if progress.rate:
        seconds = progress.images_left / progress.rate
        end = datetime.now().astimezone() + timedelta(seconds=seconds)
        left = f", {seconds:,.0f} s left: until {end:%H:%M}" + (f" on {end:%a %d %b}" if
               end.date() != datetime.now().astimezone().date() else "")  # fmt: skip
    return (
        f"{progress.shards:,} shards done, {progress.shards_left:,} left; "
        f"{progress.images:,} images, {progress.rejects:,} rejected; "
        f"{progress.rate:,.1f} images a second{left}; last shard {progress.idle:,.0f} s ago"
    )


def status(
    run: options.RunDir = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    watch: Annotated[
        float,
        typer.Option(
            "--watch",
            min=0,
            help="Look again every so many seconds until the work is "
            "done, and at the cluster's nodes too.  [default: once]",
            show_default=False,
        ),
    ] = 0.0,
    as_json: options.Json = False,
) -> None:
    """Say what is done, what is stale and why, and what comes next."""
    from rich.console import Console

    from raypipe import overview

    pipeline = options.pipeline(run, config, sets)
    if watch:
        _watch(pipeline, watch)
        return
    states = list(overview.states(pipeline))
    if as_json:
        typer.echo(json.dumps([asdict(item) for item in states], indent=2))
        return
    Console().print(_table(pipeline, states))
    if following := overview.following(pipeline):
        typer.echo(f"next: {following}")


def _watch(pipeline: Pipeline, seconds: float) -> None:
    """Show the states again and again while a step is under way."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    from raypipe import overview

    screen = Console()
    with ExitStack() as stack:
        live = stack.enter_context(Live(console=screen)) if screen.is_terminal else None
        while True:
            states = list(overview.states(pipeline))
            nodes = overview.nodes(pipeline.run)
            if live:
                live.update(Group(_table(pipeline, states), Text(nodes)))
            else:
                for item in states:
                    if item.progress:
                        typer.echo(f"{item.name}: {_so_far(item.progress)}")
                typer.echo(nodes)
            if not any(item.state == "partial" for item in states):
                break
            time.sleep(seconds)
    if not screen.is_terminal:
        screen.print(_table(pipeline, states))


def _table(pipeline: Pipeline, states: list[StepState]) -> Table:
    from rich.table import Table

    table = Table("step", "state", "rows", "seconds", "why", title=str(pipeline.run))
    colours = {"done": "green", "stale": "yellow", "partial": "yellow"}
    for item in states:
        counts = ", ".join(f"{count:,} {name}" for name, count in item.counts.items())
        if item.progress:
            counts = _so_far(item.progress)
        colour = colours.get(item.state, "dim")
        table.add_row(item.name, f"[{colour}]{item.state}[/]", counts, f"{item.seconds:.1f}",
                      "; ".join(item.reasons))  # fmt: skip
    return table
