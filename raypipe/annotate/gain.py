"""How much the answer to a question is expected to change: which to ask first. Plain NumPy.

A question is worth its size × its uncertainty × how much its answer would change the map. Until
it is answered, a cluster is *object* with a chance p that follows from its share with the
background. The answer moves each of its regions' votes from p to 1, with chance p, or to 0, with
chance 1 - p: by 2 p (1 - p) on average. That is uncertainty and change in one.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

import pyarrow as pa

from raypipe.annotate.csvfile import Key
from raypipe.chances import object_chances
from raypipe.tables import SHARED


def expected_gains(table: pa.Table) -> dict[Key, float]:
    """Return how much each answer is expected to change.

    Classes count alike, however many regions they have: so do they in the means over classes that
    results are reported by.

    Args:
        table: Rows of `tables.CLUSTERS`.

    Returns:
        By question (groups, and clusters without one), in the table's order: the expected change
        of votes, in shares of a class's regions, summed over classes. Larger is to be asked
        earlier.
    """
    sizes: dict[Key, float] = {}
    objects: dict[Key, float] = {}
    for key, group, share, chance in _rows(table):
        if key[0] != SHARED:  # a group is worth what its clusters are
            question = key if group is None else (SHARED, group)
            sizes[question] = sizes.get(question, 0.0) + share
            objects[question] = objects.get(question, 0.0) + share * chance
    return {key: _gain(sizes[key], objects[key]) for key, *_ in _rows(table) if key in sizes}


def override_gains(table: pa.Table, given: Mapping[Key, str]) -> dict[Key, float]:
    """Return how much an answer of its own would change for the clusters of answered groups.

    It changes what the group's answer is wrong about: all of the cluster's votes, with the chance
    that the background speaks against the answer.

    Args:
        table: Rows of `tables.CLUSTERS`.
        given: Verdicts on whatever was answered itself, groups included.

    Returns:
        By cluster, for those whose group is *object* or *distractor* and that were not asked
        about; comparable with `expected_gains`.
    """
    gains = {}
    for key, group, share, chance in _rows(table):
        verdict = given.get((SHARED, group)) if group is not None else None
        if key not in given and verdict in ("object", "distractor"):
            gains[key] = share * (1 - chance if verdict == "object" else chance)
    return gains


def order(gains: Mapping[Key, float]) -> list[Key]:
    """Return the questions in the order to ask them in: ties by class and number."""
    return sorted(gains, key=lambda key: (-gains[key], key))


def enough(gains: Mapping[Key, float], share: float) -> int:
    """Return how many answers, in that order, hold a share of all expected gain."""
    sums = list(accumulate(gains[key] for key in order(gains)))
    return sum(reached < share * sums[-1] for reached in sums) + 1 if sums and sums[-1] else 0


def _rows(table: pa.Table) -> list[tuple[Key, int | None, float, float]]:
    """Return key, group, share of the class and chance of *object* of each row."""
    names, numbers, groups, shares = (
        table[name].to_pylist() for name in ("class", "cluster", "group", "share")
    )
    keys = zip(names, numbers, strict=True)
    return list(zip(keys, groups, shares, object_chances(table).tolist(), strict=True))


def _gain(size: float, objects: float) -> float:
    chance = objects / size if size else 0.0
    return 2 * size * chance * (1 - chance)
