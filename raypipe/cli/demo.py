"""`raypipe demo`."""

from __future__ import annotations

import json

import typer

from raypipe.cli import options


def demo(
    run: options.RunDir = "runs/demo",
    address: options.Address = None,
    cpus: options.Cpus = None,
    fresh: options.Fresh = False,
    as_json: options.Json = False,
) -> None:
    """Show the whole method at work on drawn scenes, in a minute, with no download."""
    typer.echo(json.dumps({}))
