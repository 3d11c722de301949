"""Look-up of localizers and datasets by entry point."""

from __future__ import annotations

import difflib
from importlib.metadata import entry_points
from typing import Any

from raypipe.errors import ConfigError


def names(group: str) -> list[str]:
    """Return the names registered in a group, sorted."""
    return sorted(point.name for point in entry_points(group=group))


def find(group: str, name: str) -> Any:  # noqa: ANN401 -- each group's Protocol types the result
    """Return the factory registered under a name.

    Args:
        group: `raypipe.datasets` or `raypipe.localizers`.
        name: The plug-in's name.

    Raises:
        ConfigError: If there is none of that name, or it cannot be imported.
    """
    kind = group.removeprefix("raypipe.").removesuffix("s")
    found = [point for point in entry_points(group=group) if point.name == name]
    if not found:
        known = names(group)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"unknown {kind} {name!r}", f"{hint}known are: {', '.join(known)}")
    try:
        return found[0].load()
    except ImportError as error:
        raise ConfigError(
            f"{kind} {name!r} cannot be imported ({error})", "install what it needs"
        ) from error
