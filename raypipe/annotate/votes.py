"""What answers amount to: which of them count, the majority, and what a group says of a cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from raypipe.annotate.csvfile import Clusters, Key
from raypipe.tables import SHARED

Row = dict[str, Any]
"""A row of `tables.LABELS`."""

Who = tuple[str, str, str]
"""Class, membership and annotator: at most one answer stands for them."""


def who(row: Row) -> Who:
    """Return what at most one answer can stand for."""
    return row["class"], row["membership"], row["annotator"]


def latest(log: Sequence[Row]) -> dict[Who, Row]:
    """Return each annotator's latest answer on each cluster that ever was; the oldest row first."""
    return {who(row): row for row in log}  # the last one wins


def current(clusters: Clusters, log: Sequence[Row]) -> list[Row]:
    """Return the answers that count.

    Args:
        clusters: The clusters and groups of now.
        log: Every answer, the oldest first.

    Returns:
        Each annotator's latest on what there is now, under the number that it has now; sorted by
        class, cluster and annotator.
    """
    found = []
    for row in latest(log).values():
        key = clusters.by_membership.get((row["class"], row["membership"]))
        if key is not None:
            found.append(row | {"cluster": key[1]})
    return sorted(found, key=lambda row: (row["class"], row["cluster"], row["annotator"]))


def majorities(rows: Sequence[Row]) -> dict[Key, str]:
    """Return the verdict of most annotators on whatever was answered; ties are unsure."""
    votes: dict[Key, Counter[str]] = {}
    for row in rows:
        votes.setdefault((row["class"], row["cluster"]), Counter())[row["verdict"]] += 1
    return {key: _majority(count) for key, count in votes.items()}


def resolved(clusters: Clusters, given: Mapping[Key, str]) -> dict[Key, str]:
    """Return the verdict on each cluster that has one: its own, or else that of its group.

    Args:
        clusters: The clusters and groups of now.
        given: Verdicts on whatever was answered itself, groups included.
    """
    through = {
        key: given[SHARED, group]
        for key, group in clusters.groups.items()
        if (SHARED, group) in given
    }
    own = {key: verdict for key, verdict in given.items() if key[0] != SHARED}
    return through | own


def _majority(votes: Counter[str]) -> str:
    (verdict, most), *others = votes.most_common()
    return "unsure" if others and others[0][1] == most else verdict
