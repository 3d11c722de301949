"""`raypipe demo`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from raypipe.cli import options
from raypipe.progress import say, show


def demo(
    run: Annotated[str, typer.Option("--run", help="Local run directory.")] = "runs/demo",
    address: options.Address = None,
    cpus: options.Cpus = None,
    fresh: options.Fresh = False,
    as_json: options.Json = False,
) -> None:
    """Show the whole method at work on drawn scenes, in a minute or two, with no download."""
    from raypipe.demo import demonstrate
    from raypipe.evaluate.summary import summary_table

    report = demonstrate(run, address=address, cpus=cpus, fresh=fresh)
    if as_json:
        typer.echo(json.dumps(report, indent=2))
    else:
        show(summary_table(report))
    say(
        f"the failure and its repair:  {run}/demo.png\n"
        f"what a person would answer:  {run}/sheets/index.html\n"
        f"before and after:            {run}/evaluate/val/report.html"
    )
