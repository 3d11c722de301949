"""The options that commands share, and how they become settings."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raypipe.errors import UsageError

if TYPE_CHECKING:
    from raypipe.config import Settings
    from raypipe.pipeline import Pipeline
    from raypipe.storage.run import Manifest

_DATA, _NET, _WHERE = "Dataset", "Localizer", "Where and how"

RunDir = Annotated[
    str | None,
    typer.Option("--run", help="Run directory or URI.  [default: runs/DATASET, or the only run]"),
]
ConfigFile = Annotated[
    str | None, typer.Option("--config", help="TOML run file.", rich_help_panel=_WHERE)
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Any setting, as extract.threshold=0.3; repeatable.", rich_help_panel=_WHERE
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Ray cluster to join, or local.  [default: a running one, else local]",
        rich_help_panel=_WHERE,
    ),
]
Cpus = Annotated[
    int | None,
    typer.Option("--cpus", min=1, help="Logical CPUs of a local cluster.", rich_help_panel=_WHERE),
]
Fresh = Annotated[
    bool,
    typer.Option("--fresh", help="Do the step again from the start.", rich_help_panel=_WHERE),
]
Partial = Annotated[
    bool,
    typer.Option(
        "--partial", help="Take unfinished steps for what there is of them.", rich_help_panel=_WHERE
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON.", rich_help_panel=_WHERE)
]

Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="imagefolder, voc, ilsvrc, webdataset, parquet, manifest or toyworld.",
        rich_help_panel=_DATA,
    ),
]
Root = Annotated[
    str | None,
    typer.Option(
        "--root",
        help="Path or URI of the dataset.  [default: RAYPIPE_ROOT_<DATASET>]",
        rich_help_panel=_DATA,
    ),
]
Split = Annotated[
    str | None, typer.Option("--split", help="Split to work on.", rich_help_panel=_DATA)
]
TargetDataset = Annotated[
    str | None, typer.Option("--dataset", help="The dataset that was refined, if another.")
]
TargetRoot = Annotated[str | None, typer.Option("--root", help="Its path or URI.")]
TargetSplit = Annotated[str | None, typer.Option("--split", help="Its split.")]
ClassFile = Annotated[
    str | None,
    typer.Option(
        "--class-file", help="File with the classes to use, one a line.", rich_help_panel=_DATA
    ),
]
Only = Annotated[
    str | None,
    typer.Option("--only", help="Use only these classes, as boat,train.", rich_help_panel=_DATA),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=0, help="Images of a class, at most.", rich_help_panel=_DATA),
]

LocalizerName = Annotated[
    str | None, typer.Option("--localizer", help="cam or gradcam.", rich_help_panel=_NET)
]
Architecture = Annotated[
    str | None,
    typer.Option("--architecture", help="torchvision's name of the network.", rich_help_panel=_NET),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        help="torchvision weights name, or a .pth or .safetensors file.",
        rich_help_panel=_NET,
    ),
]
InputSize = Annotated[
    int | None,
    typer.Option("--input-size", min=32, help="Square input, pixels.", rich_help_panel=_NET),
]
Layer = Annotated[
    str | None, typer.Option("--layer", help="Mid-level layer.", rich_help_panel=_NET)
]
Mapping_ = Annotated[
    str | None,
    typer.Option("--mapping", help="CSV file class,network_class.", rich_help_panel=_NET),
]


def words(value: str | None) -> list[str] | None:
    """Split a comma-separated option."""
    return None if value is None else [word.strip() for word in value.split(",") if word.strip()]


def pipeline(
    run: str | None,
    config: str | None,
    sets: Sequence[str] | None,
    *,
    address: str | None = None,
    cpus: int | None = None,
    fresh: bool = False,
    partial: bool = False,
    sections: Mapping[str, Mapping[str, Any]] | None = None,
) -> Pipeline:
    """Put a command's options together; options that were not given change nothing.

    Args:
        run: Run directory.
        config: TOML run file.
        sets: `section.name=value` strings.
        address: Ray cluster.
        cpus: Logical CPUs of a local cluster.
        fresh: Do the step again.
        partial: Take unfinished steps for what there is of them.
        sections: The command's own options, by section.
    """
    from raypipe.pipeline import Pipeline
    from raypipe.resolve import resolve

    given = dict(sections or {}) | {"engine": {"address": address, "cpus": cpus}}
    found, settings = resolve(config, _flags(run, sets, given), partial=partial)
    return Pipeline(found, settings, fresh=fresh)


def settings(
    run: str | None,
    config: str | None,
    sets: Sequence[str] | None,
    *,
    address: str | None = None,
    sections: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """Put a command's options together where there need be no run yet; see `pipeline`."""
    from raypipe.resolve import settings_of

    given = dict(sections or {}) | {"engine": {"address": address}}
    return settings_of(config, _flags(run, sets, given))


def _flags(
    run: str | None, sets: Sequence[str] | None, sections: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the options that were given as nested settings."""
    flags: dict[str, Any] = {} if run is None else {"run": run}
    for section, values in sections.items():
        kept = {name: value for name, value in values.items() if value is not None}
        if kept:
            flags[section] = kept
    for item in sets or ():
        _set(flags, item)
    return flags


def _set(flags: dict[str, Any], item: str) -> None:
    """Add one `section.name=value`; the value is TOML, or else a string."""
    path, separator, text = item.partition("=")
    parts = path.strip().split(".")
    if not separator or not all(parts):
        raise UsageError(f"--set {item}: not section.name=value", "as --set extract.threshold=0.3")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    place = flags
    for part in parts[:-1]:
        place = place.setdefault(part, {})
    place[parts[-1]] = value


def dataset_section(
    dataset: str | None,
    root: str | None,
    split: str | None,
    class_file: str | None,
    only: str | None,
    limit: int | None,
) -> dict[str, Any]:
    """Return the [dataset] section of the options."""
    return {"name": dataset, "root": root, "split": split, "class_file": class_file,
            "only": words(only), "limit": limit}  # fmt: skip


def localizer_section(
    localizer: str | None,
    architecture: str | None,
    weights: str | None,
    input_size: int | None,
    layer: str | None,
    mapping: str | None,
) -> dict[str, Any]:
    """Return the [localizer] section of the options."""
    return {"name": localizer, "architecture": architecture, "weights": weights,
            "input_size": input_size, "layer": layer, "mapping": mapping}  # fmt: skip


def report(manifest: Manifest, *, as_json: bool) -> None:
    """Print a step's result on stdout, as JSON if asked for; words went to stderr already."""
    if as_json:
        result = {
            "step": manifest.step,
            "fingerprint": manifest.fingerprint,
            "counts": manifest.counts,
            "seconds": manifest.seconds,
        }
        typer.echo(json.dumps(result, indent=2))
