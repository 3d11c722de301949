"""Values of the benchmarks' command lines that are lists, separated by commas."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection


def numbers(text: str) -> list[int]:
    """Return the numbers of `1,2`."""
    return [int(number) for number in text.split(",")]


def names_of(known: Collection[str]) -> Callable[[str], list[str]]:
    """Return what reads a list of names and refuses unknown ones.

    Args:
        known: The names that there are.
    """

    def names(text: str) -> list[str]:
        found = text.split(",")
        if unknown := set(found) - set(known):
            raise argparse.ArgumentTypeError(
                f"unknown {', '.join(sorted(unknown))}; there are {', '.join(known)}"
            )
        return found

    return names
