"""`raypipe index`."""

from __future__ import annotations

from raypipe.cli import options


def index(
    run: options.RunDir = None,
    dataset: options.Dataset = None,
    root: options.Root = None,
    split: options.Split = None,
    class_file: options.ClassFile = None,
    only: options.Only = None,
    limit: options.Limit = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    address: options.Address = None,
    cpus: options.Cpus = None,
    fresh: options.Fresh = False,
    as_json: options.Json = False,
) -> None:
    """List a dataset's images, labels and truth as tables."""
    sections = {
        "dataset": options.dataset_section(dataset, root, split, class_file, only, limit),
    }
    with options.pipeline(
        run, config, sets, address=address, cpus=cpus, fresh=fresh, sections=sections
    ) as pipeline:
        options.report(pipeline.index(), as_json=as_json)
