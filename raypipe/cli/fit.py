"""`raypipe fit`."""

from __future__ import annotations

from typing import Annotated

import typer

from raypipe.cli import options


def fit(
    run: options.RunDir = None,
    dataset: options.Dataset = None,
    root: options.Root = None,
    split: options.Split = None,
    class_file: options.ClassFile = None,
    only: options.Only = None,
    limit: options.Limit = None,
    localizer: options.LocalizerName = None,
    architecture: options.Architecture = None,
    weights: options.Weights = None,
    input_size: options.InputSize = None,
    layer: options.Layer = None,
    mapping: options.Mapping_ = None,
    every_class: Annotated[
        bool | None, typer.Option("--every-class", help="Also learn classes that it knows.")
    ] = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    address: options.Address = None,
    cpus: options.Cpus = None,
    fresh: options.Fresh = False,
    as_json: options.Json = False,
) -> None:
    """Learn classes that the network does not know, from image-level labels.

    The head is stored in the run; `extract` and `refine` use it.
    """
    sections = {
        "dataset": options.dataset_section(dataset, root, split, class_file, only, limit),
        "localizer": options.localizer_section(
            localizer, architecture, weights, input_size, layer, mapping
        ),
        "fit": {"every_class": every_class},
    }
    with options.pipeline(
        run, config, sets, address=address, cpus=cpus, fresh=fresh, sections=sections
    ) as pipeline:
        options.report(pipeline.fit(), as_json=as_json)
