"""`raypipe evaluate`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from raypipe.cli import options
from raypipe.progress import say, show


def evaluate(
    run: options.RunDir = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="The dataset that was refined, if another.")
    ] = None,
    root: Annotated[str | None, typer.Option("--root", help="Its path or URI.")] = None,
    split: Annotated[str | None, typer.Option("--split", help="Its split.")] = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    address: options.Address = None,
    cpus: options.Cpus = None,
    fresh: options.Fresh = False,
    as_json: options.Json = False,
) -> None:
    """Compare plain and refined detections with the truth; write report.html and report.json."""
    from raypipe.evaluate.summary import summary_table

    sections = {"target": {"name": dataset, "root": root, "split": split}}
    with options.pipeline(
        run, config, sets, address=address, cpus=cpus, fresh=fresh, sections=sections
    ) as pipeline:
        manifest = pipeline.evaluate()
        report = pipeline.report()
        if as_json:
            typer.echo(json.dumps(report, indent=2))
        else:
            show(summary_table(report))
        say(f"open {pipeline.run.step(manifest.step)}/report.html")
