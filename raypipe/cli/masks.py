"""`raypipe masks`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raypipe.cli import options
from raypipe.progress import say


def masks(
    run: options.RunDir = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            "--rule", help="plain, classify or filter; repeatable.  [default: the first refined]"
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", min=0, max=1, help="Share of the map's maximum."),
    ] = None,
    crf: Annotated[
        bool | None,
        typer.Option("--crf/--no-crf", help="Draw them to the image's edges by a dense CRF; slow."),
    ] = None,
    dataset: options.TargetDataset = None,
    root: options.TargetRoot = None,
    split: options.TargetSplit = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    address: options.Address = None,
    cpus: options.Cpus = None,
    fresh: options.Fresh = False,
    as_json: options.Json = False,
) -> None:
    """Draw the masks of refined detections at image size.

    `evaluate` judges masks of a CRF beside the maps, `export --masks` writes them for other tools.
    """
    sections: dict[str, dict[str, Any]] = {
        "target": {"name": dataset, "root": root, "split": split},
        "masks": {"rules": rule or None, "threshold": threshold, "crf": crf},
    }
    with options.pipeline(
        run, config, sets, address=address, cpus=cpus, fresh=fresh, sections=sections
    ) as pipeline:
        manifest = pipeline.masks()
        say(f"masks are in {pipeline.run.step(manifest.step)}/masks")
        options.report(manifest, as_json=as_json)
