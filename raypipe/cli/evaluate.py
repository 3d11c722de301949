"""`raypipe evaluate`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from raypipe.cli import options
from raypipe.errors import UsageError
from raypipe.progress import say, show


def evaluate(
    run: options.RunDir = None,
    dataset: options.TargetDataset = None,
    root: options.TargetRoot = None,
    split: options.TargetSplit = None,
    truth: Annotated[
        str | None,
        typer.Option(
            "--truth",
            help="COCO JSON or wsolevaluation's metadata folder, instead of the dataset's truth.",
        ),
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--maps", help="Maps of another method, NAME=PATH: .npy, PNG or Parquet; repeatable."
        ),
    ] = None,
    predictions: Annotated[
        str | None,
        typer.Option("--predictions", help="Predicted classes: CSV image_id,class,rank."),
    ] = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    address: options.Address = None,
    cpus: options.Cpus = None,
    fresh: options.Fresh = False,
    as_json: options.Json = False,
) -> None:
    """Compare plain and refined detections with the truth; write report.html and report.json.

    Other methods' maps are judged beside them, or alone where nothing was refined: then the first
    of them is what the others are compared with.
    """
    from raypipe.evaluate.summary import summary_table

    target: dict[str, Any] = {
        "name": dataset,
        "root": root,
        "split": split,
        "truth": truth,
        "maps": _named(maps) if maps else None,
        "predictions": predictions,
    }
    sections = {"target": target}
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


def _named(maps: list[str]) -> dict[str, str]:
    """Return the path of each NAME=PATH."""
    found = {}
    for item in maps:
        name, _, path = item.partition("=")
        if not name or not path:
            raise UsageError(f"--maps {item}: not NAME=PATH", "as --maps gradcam=maps/gradcam")
        found[name] = path
    return found
