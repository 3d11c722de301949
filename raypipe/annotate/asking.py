"""In which order the pages of a run are asked, and what a page tells its script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from raypipe.annotate.csvfile import Key
from raypipe.annotate.facts import ClassFacts
from raypipe.annotate.gain import expected_gains, order
from raypipe.annotate.labels import ClassStatus
from raypipe.storage.run import Run, slug
from raypipe.tables import CLUSTERS, SHARED


@dataclass(frozen=True)
class Asking:
    """What is asked about a clustering.

    Attributes:
        run: Identity of the clustering: browsers keep answers by it.
        gains: Expected gain of each question.
        groups: Fingerprint of each group's regions, by its number.
    """

    run: str
    gains: Mapping[Key, float]
    groups: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run) -> Asking:
        """Read what a run asks.

        Raises:
            InputError: If the run is not clustered yet, or its table is damaged.
        """
        identity = run.require("cluster").identity
        return cls.in_table(identity, run.read(CLUSTERS, "cluster", "clusters.parquet"))

    @classmethod
    def in_table(cls, identity: str, table: pa.Table) -> Asking:
        """Make it from a table of `tables.CLUSTERS`."""
        names = ("class", "cluster", "membership")
        rows = zip(*(table[name].to_pylist() for name in names), strict=True)
        groups = {number: membership for owner, number, membership in rows if owner == SHARED}
        return cls(identity, expected_gains(table), groups)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Classes with a question, the one with the best question first."""
        return tuple(dict.fromkeys(name for name, _ in order(self.gains)))

    @cached_property
    def _next(self) -> dict[str, str]:
        return dict(zip(self.classes, self.classes[1:], strict=False))

    def page_data(self, facts: ClassFacts) -> dict[str, Any]:
        """Return what the script of a class's page starts from."""
        after = self._next.get(facts.name)
        return {
            "run": self.run,
            "class": facts.name,
            "page": page_file(facts.name),
            "next": None if after is None else page_file(after),
            "total": len(self.gains),
            "questions": [
                {
                    "class": facts.name,
                    "cluster": cluster.number,
                    "membership": cluster.membership,
                    "gain": self.gains.get((facts.name, cluster.number)),
                    "group": self._group(cluster.group),
                }
                for cluster in facts.clusters
            ],
        }

    def _group(self, number: int | None) -> dict[str, Any] | None:
        if number is None:
            return None
        return {"class": SHARED, "cluster": number, "membership": self.groups[number]}

    def index_data(self, classes: Sequence[tuple[ClassFacts, ClassStatus]]) -> dict[str, Any]:
        """Return what the script of the index starts from.

        Args:
            classes: What is known of each class, and how far it is answered.
        """
        return {
            "run": self.run,
            "page": "index.html",
            "total": len(self.gains),
            "classes": [
                {
                    "class": facts.name,
                    "page": page_file(facts.name),
                    # Short rows: a thousand classes have thousands of them.
                    "clusters": [
                        [
                            cluster.number,
                            cluster.membership,
                            cluster.group,
                            int(cluster.group is None and cluster.number not in status.missing),
                            round(self.gains.get((facts.name, cluster.number), 0.0), 4),
                        ]
                        for cluster in facts.clusters
                    ],
                }
                for facts, status in classes
            ],
        }

    def ranked(
        self, classes: Sequence[tuple[ClassFacts, ClassStatus]]
    ) -> list[tuple[ClassFacts, ClassStatus]]:
        """Return classes in the order to ask about them; those without a question come last."""
        places = {name: place for place, name in enumerate(self.classes)}
        last = len(places)
        return sorted(classes, key=lambda item: (places.get(item[0].name, last), item[0].name))


def page_file(name: str) -> str:
    """Return the file name of a class's page."""
    return f"{slug(name)}.html"
