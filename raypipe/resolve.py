"""Which run, and with which settings: what it remembers, and what was asked for now."""

from __future__ import annotations

import json
from typing import Any

from raypipe import config, plugins
from raypipe.config import DatasetConfig, S3Config, Settings
from raypipe.errors import InputError
from raypipe.progress import say
from raypipe.storage import s3
from raypipe.storage.location import Location
from raypipe.storage.run import Run

_SAVED = "settings.json"
_REMEMBERED = {
    "index": ("dataset",),
    "fit": ("dataset", "localizer", "fit"),
    "extract": ("dataset", "localizer", "extract"),
    "cluster": ("cluster",),
    "sheets": ("sheets",),
    "refine": ("refine",),
    "masks": ("masks",),
    "evaluate": ("evaluate",),
}
"""Sections that a run remembers once a step has succeeded with them: a mistyped flag is not kept.
A target is named anew by each command that has one, and the engine changes no result."""


def resolve(
    file: str | None, flags: dict[str, Any], *, partial: bool = False
) -> tuple[Run, Settings]:
    """Return the run and its settings: what the run remembers, unless something else says more.

    Args:
        file: A TOML run file, or None.
        flags: Nested values from the command line.
        partial: Take unfinished steps for what there is of them.

    Raises:
        ConfigError: If a value does not fit.
        InputError: If no run is named and there is not exactly one below `runs/`.
    """
    first = config.load(file, flags)
    names_dataset = bool(file) or "name" in flags.get("dataset", {})
    place = first.run or _default_run(first, names_dataset=names_dataset)
    run = Run.at(_reached(place, first.s3), partial=partial)
    return run, _all_reached(config.load(file, flags, _current(run, first)))


def settings_of(file: str | None, flags: dict[str, Any]) -> Settings:
    """Return the settings as they were asked for now; the run need not be there, or named.

    Args:
        file: A TOML run file, or None.
        flags: Nested values from the command line.

    Raises:
        ConfigError: If a value does not fit.
    """
    found = _all_reached(config.load(file, flags))
    return found.model_copy(update={"run": _reached(found.run, found.s3)})


def _reached(uri: str, options: S3Config) -> str:
    """Return a URI that says itself how its bucket is reached."""
    return s3.with_options(uri, s3.S3Options(**options.model_dump()))


_URIS = {
    "dataset": ("root", "class_file"),
    "target": ("root", "truth", "predictions"),
    "localizer": ("weights", "network_classes", "mapping"),
}
"""Settings that may be URIs, by section."""


def _all_reached(settings: Settings) -> Settings:
    """Return the settings with the options of [s3] in their URIs."""
    sections = {}
    for name, fields in _URIS.items():
        section = getattr(settings, name)
        uris = {field: _reached(getattr(section, field), settings.s3) for field in fields}
        sections[name] = section.model_copy(update=uris)
    maps = {name: _reached(path, settings.s3) for name, path in settings.target.maps.items()}
    sections["target"] = sections["target"].model_copy(update={"maps": maps})
    return settings.model_copy(update=sections)


def saved(run: Run) -> dict[str, Any]:
    """Return the settings that a run remembers."""
    place = run.root / _SAVED
    try:
        found: dict[str, Any] = json.loads(place.read_text()) if place.exists() else {}
    except json.JSONDecodeError as error:
        raise InputError(
            f"{place}: not JSON ({error})", "delete it and name the flags again"
        ) from None
    return found


def _current(run: Run, settings: Settings) -> dict[str, Any]:
    """Return what a run remembers without the settings that this version has no more."""
    kept = saved(run)
    for name, section in kept.items():
        known = type(getattr(settings, name)).model_fields
        for gone in sorted(section.keys() - known.keys()):
            say(f"{run}: remembers {name}.{gone}, which is no setting any more; left out")
            del section[gone]
    return kept


def _default_run(settings: Settings, *, names_dataset: bool) -> str:
    """Return runs/<dataset>, or the only run there is."""
    if names_dataset:
        return f"runs/{settings.dataset.name}"
    runs = [
        entry.path
        for entry in Location.of("runs").entries()
        if (Location.of(entry.path) / _SAVED).exists()
    ]
    if len(runs) == 1:
        return str(runs[0])
    found = f"there are {', '.join(runs)}" if runs else "there is none below runs/"
    raise InputError(f"which run? {found}", "pass --run, or --dataset to start one")


def remember(run: Run, settings: Settings, step: str) -> None:
    """Keep the sections that a step was done with."""
    if step.startswith("index/") and step != f"index/{settings.dataset.split}":
        return
    place = run.root / _SAVED
    kept = saved(run)
    for section in _REMEMBERED[step.split("/", maxsplit=1)[0]]:
        kept[section] = _absolute(getattr(settings, section).model_dump(mode="json"))
    place.write_bytes((json.dumps(kept, indent=2) + "\n").encode())


def located(dataset: DatasetConfig, options: S3Config) -> DatasetConfig:
    """Return the dataset with its root found and absolute.

    Args:
        dataset: Its settings.
        options: How buckets are reached.

    Raises:
        ConfigError: If the plug-in is unknown or no root is given.
    """
    plugins.find("raypipe.datasets", dataset.name)  # an unknown name is the first thing to say
    root = _reached(config.dataset_root(dataset.name, dataset.root), options)
    return dataset.model_copy(update={"root": str(Location.of(root))})


def _absolute(section: dict[str, Any]) -> dict[str, Any]:
    """Return a section with its paths absolute, so that the run can be used from anywhere."""
    from raypipe.localizers.weights import is_file

    for name in ("root", "class_file", "network_classes", "mapping", "weights"):
        path = section.get(name)
        if path and (name != "weights" or is_file(path)):
            section[name] = str(Location.of(path))
    return section
