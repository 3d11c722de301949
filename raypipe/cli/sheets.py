"""`raypipe sheets`."""

from __future__ import annotations

from typing import Annotated

import typer

from raypipe.cli import options
from raypipe.progress import say


def sheets(
    run: options.RunDir = None,
    tiles: Annotated[
        int | None, typer.Option("--tiles", min=1, help="Crops shown of a cluster.")
    ] = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    address: options.Address = None,
    cpus: options.Cpus = None,
    fresh: options.Fresh = False,
    partial: options.Partial = False,
    as_json: options.Json = False,
) -> None:
    """Draw a contact sheet a class: its clusters, to be judged at a glance."""
    sections = {"sheets": {"tiles": tiles}}
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
        manifest = pipeline.sheets()
        say(f"open {pipeline.run.step('sheets')}/index.html")
        options.report(manifest, as_json=as_json)
