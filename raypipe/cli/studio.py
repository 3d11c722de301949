"""`raypipe labels studio`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from raypipe.cli import options
from raypipe.progress import say


def studio(
    out: Annotated[str, typer.Argument(help="Folder to write, path or URI.")],
    run: options.RunDir = None,
    tiles: Annotated[
        int | None, typer.Option("--tiles", min=1, help="Crops shown of a cluster.")
    ] = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    address: options.Address = None,
    cpus: options.Cpus = None,
    as_json: options.Json = False,
) -> None:
    """Write the questions as a Label Studio project; `labels ingest` takes its JSON export."""
    from raypipe.annotate import studio_tasks
    from raypipe.storage.location import Location

    sections = {"sheets": {"tiles": tiles}}
    with options.pipeline(
        run, config, sets, address=address, cpus=cpus, sections=sections
    ) as pipeline:
        pipeline.run.require("cluster")  # before a cluster of machines is started
        place = Location.of(out)
        counts = studio_tasks.export(pipeline.run, pipeline.settings.sheets, pipeline.engine, place)
    if as_json:
        typer.echo(json.dumps(counts, indent=2))
    say(
        f"{counts['questions']} questions in {place}: make a Label Studio project with the "
        f"labelling configuration {studio_tasks.CONFIG}, import tasks-*.json, and give its JSON "
        "export to `raypipe labels ingest`"
    )
