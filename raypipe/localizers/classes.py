"""Which output of the network, or row of a fitted head, a dataset's class is."""

from __future__ import annotations

import csv
from collections.abc import Sequence

from raypipe.config import LocalizerConfig
from raypipe.datasets.base import ClassRecord
from raypipe.errors import ConfigError, InputError
from raypipe.storage.location import Location

_ILSVRC = 1000


def network_outputs(
    config: LocalizerConfig, classes: Sequence[ClassRecord], network: Sequence[str]
) -> dict[str, int]:
    """Return the network's output for every class that it knows.

    In this order: the mapping file; the ILSVRC index, if the network is an ILSVRC classifier; the
    same name or title, in any case.

    Args:
        config: Names the mapping file.
        classes: The dataset's classes.
        network: Names of the network's outputs.

    Returns:
        Output by class name; classes that the network does not know are not in it.

    Raises:
        ConfigError: If the mapping file names an unknown class.
    """
    # Two ILSVRC classes can share a title ("crane"), so the index goes before names.
    by_name = {name.lower(): position for position, name in enumerate(network)}
    mapping = _mapping(config, {item.name for item in classes}, by_name) if config.mapping else {}
    found = {}
    for item in classes:
        if item.name in mapping:
            found[item.name] = mapping[item.name]
        elif item.network_index is not None and len(network) == _ILSVRC:
            found[item.name] = item.network_index
        else:
            for name in (item.name.lower(), item.title.lower()):
                if name in by_name:
                    found[item.name] = by_name[name]
                    break
    return found


def _mapping(config: LocalizerConfig, classes: set[str], network: dict[str, int]) -> dict[str, int]:
    place = Location.of(config.mapping)
    rows = csv.DictReader(place.read_text().splitlines())
    if set(rows.fieldnames or ()) != {"class", "network_class"}:
        raise InputError(f"{place}: its header must be class,network_class", "mend the first line")
    mapping = {}
    for number, row in enumerate(rows, start=2):
        name, target = (row["class"] or "").strip(), (row["network_class"] or "").strip().lower()
        if name not in classes or target not in network:
            wrong = f"class {name!r}" if name not in classes else f"network class {target!r}"
            raise ConfigError(f"{place}: line {number}: unknown {wrong}", "mend the line")
        mapping[name] = network[target]
    return mapping


def refuse_unknown(classes: Sequence[ClassRecord], known: Sequence[str], architecture: str) -> None:
    """Raise if neither the network nor a fitted head knows a class.

    Raises:
        ConfigError: Naming the classes and `raypipe fit`.
    """
    unknown = [item.name for item in classes if item.name not in known]
    if unknown:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise ConfigError(
            f"{architecture} does not know {', '.join(unknown[:5])}{more}",
            "run `raypipe fit` to learn them from the image-level labels, "
            "or pass --mapping with class,network_class",
        )
