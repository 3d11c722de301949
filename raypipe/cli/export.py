"""`raypipe export`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from raypipe.cli import options
from raypipe.export.formats import Format
from raypipe.progress import say


def export(
    form: Annotated[Format, typer.Argument(metavar="FORMAT", help="What to write.")],
    out: Annotated[str, typer.Argument(help="Folder to write, path or URI.")],
    run: options.RunDir = None,
    split: Annotated[
        str | None, typer.Option("--split", help="The set that was refined.  [default: val]")
    ] = None,
    dataset: options.TargetDataset = None,
    root: options.TargetRoot = None,
    rule: Annotated[
        str, typer.Option("--rule", help="plain, classify or filter.  [default: the first]")
    ] = "",
    masks: Annotated[
        bool,
        typer.Option("--masks", help="With masks; drawn first, if they are not, as by `masks`."),
    ] = False,
    mask_threshold: Annotated[
        float | None,
        typer.Option("--mask-threshold", min=0, max=1, help="Masks: share of the map's maximum."),
    ] = None,
    crf: Annotated[
        bool | None,
        typer.Option("--crf/--no-crf", help="Masks drawn to the image's edges by a dense CRF."),
    ] = None,
    copy_images: Annotated[
        bool, typer.Option("--copy-images", help="Put the images into the export, too.")
    ] = False,
    local_root: Annotated[
        str, typer.Option("--local-root", help="Label Studio: the folder that it serves.")
    ] = "/",
    config: options.ConfigFile = None,
    sets: options.Set = None,
    address: options.Address = None,
    cpus: options.Cpus = None,
    as_json: options.Json = False,
) -> None:
    """Write boxes and masks for other tools.

    Formats: coco, csv, fiftyone, huggingface, labelstudio, voc, yolo. Each is written shard by
    shard, to disk or a bucket, and complete once `raypipe-export.json` is there.
    """
    from raypipe.export.formats import Options
    from raypipe.export.formats import export as written
    from raypipe.export.records import Source
    from raypipe.storage.location import Location

    drawn = masks or crf is not None or mask_threshold is not None
    sections: dict[str, dict[str, Any]] = {
        "target": {"name": dataset, "root": root, "split": split},
        "masks": {"rules": [rule] if rule and drawn else None, "threshold": mask_threshold,
                  "crf": crf},
    }  # fmt: skip
    with options.pipeline(
        run, config, sets, address=address, cpus=cpus, sections=sections
    ) as pipeline:
        if drawn:
            pipeline.masks()
        source = Source(pipeline.run, pipeline.target_set, rule, masks=drawn)
        counts = written(source, form, Location.of(out), Options(copy_images, local_root))
    if as_json:
        typer.echo(json.dumps(counts, indent=2))
    counted = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    say(f"{form.value}: {counted} in {Location.of(out)}")
