"""`raypipe refine`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raypipe.cli import options
from raypipe.errors import UsageError
from raypipe.progress import say


def refine(
    run: options.RunDir = None,
    rule: Annotated[
        list[str] | None, typer.Option("--rule", help="classify or filter; repeatable.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Another dataset than the run's.")
    ] = None,
    root: options.TargetRoot = None,
    split: Annotated[str | None, typer.Option("--split", help="Split to refine.")] = None,
    images: Annotated[
        str | None, typer.Option("--images", help="A folder of images instead of a dataset.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option("--classes", help="Look for these in every image, as boat,train."),
    ] = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    address: options.Address = None,
    cpus: options.Cpus = None,
    fresh: options.Fresh = False,
    partial: options.Partial = False,
    as_json: options.Json = False,
) -> None:
    """Refine the maps of any images, also such that no step has seen.

    Images are searched for their own labels, for `--classes`, or else for the class that the
    network sees in them.
    """
    if images and (dataset or root):
        raise UsageError("--images goes without --dataset and --root", "name one of them")
    target: dict[str, Any] = {
        "name": "imagefolder" if images else dataset,
        "root": images or root,
        "split": split,
        "classes": options.words(classes),
    }
    sections = {"target": target, "refine": {"rules": rule or None}}
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
        manifest = pipeline.refine()
        say(f"detections are in {pipeline.run.step(manifest.step)}/detections")
        options.report(manifest, as_json=as_json)
