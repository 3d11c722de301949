"""`raypipe run`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from raypipe.cli import options
from raypipe.progress import show


def run(
    file: Annotated[str, typer.Argument(help="TOML run file.")],
    run_dir: options.RunDir = None,
    sets: options.Set = None,
    address: options.Address = None,
    cpus: options.Cpus = None,
    as_json: options.Json = False,
) -> None:
    """Do a whole pipeline up to the point where a person must answer; then go on after that."""
    with options.pipeline(run_dir, file, sets, address=address, cpus=cpus) as pipeline:
        ended = pipeline.everything()
        report = pipeline.report() if ended and pipeline.has_truth() else None
        if as_json:
            typer.echo(json.dumps(report or {"complete": ended}, indent=2))
        elif report:
            from raypipe.evaluate.summary import summary_table

            show(summary_table(report))
