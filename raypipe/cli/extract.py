"""`raypipe extract`."""

from __future__ import annotations

from raypipe.cli import options


def extract(
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
    config: options.ConfigFile = None,
    sets: options.Set = None,
    address: options.Address = None,
    cpus: options.Cpus = None,
    fresh: options.Fresh = False,
    as_json: options.Json = False,
) -> None:
    """Extract foreground maps and regions of the training images.

    Goes on where it stopped; images that cannot be read are listed, not fatal.
    """
    sections = {
        "dataset": options.dataset_section(dataset, root, split, class_file, only, limit),
        "localizer": options.localizer_section(
            localizer, architecture, weights, input_size, layer, mapping
        ),
    }
    with options.pipeline(
        run, config, sets, address=address, cpus=cpus, fresh=fresh, sections=sections
    ) as pipeline:
        options.report(pipeline.extract(), as_json=as_json)
