"""What a sheet says of a class in words and numbers, read from the tables once for all classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raypipe.annotate.frames import index_set
from raypipe.storage.run import Run
from raypipe.tables import CLASSES, CLUSTERS, SHARED, SPECTRA

Row = Mapping[str, Any]

_SHARED_TITLE = "All classes"


@dataclass(frozen=True)
class Member:
    """A cluster of a class that belongs to a group.

    Attributes:
        name: The class.
        title: Its name for people.
        number: Number of the cluster.
        regions: Regions in it.
    """

    name: str
    title: str
    number: int
    regions: int


@dataclass(frozen=True)
class ClusterFacts:
    """One cluster, as in `tables.CLUSTERS`; `members` are the clusters of a group."""

    number: int
    regions: int
    share: float
    images: int
    image_share: float
    membership: str
    group: int | None = None
    members: tuple[Member, ...] = ()

    @property
    def classes(self) -> int:
        """Classes that a group has clusters of."""
        return len({member.name for member in self.members})


@dataclass(frozen=True)
class ClassFacts:
    """One class that was clustered, or `tables.SHARED`, whose clusters are the groups.

    Attributes:
        name: The class.
        title: Its name for people.
        images: Images that carry its label.
        clusters: Its clusters, by number.
        eigenvalues: Of its affinity graph, the largest first; empty if not kept.
    """

    name: str
    title: str
    images: int
    clusters: tuple[ClusterFacts, ...]
    eigenvalues: tuple[float, ...]

    @property
    def shared(self) -> bool:
        """Whether its clusters are groups of all classes' clusters."""
        return self.name == SHARED

    @property
    def grouped(self) -> bool:
        """Whether its clusters are answered through groups."""
        return any(cluster.group is not None for cluster in self.clusters)

    @property
    def regions(self) -> int:
        """Regions of all its clusters."""
        return sum(cluster.regions for cluster in self.clusters)

    @property
    def summary(self) -> str:
        """How much there is, in words."""
        if self.shared:
            classes = {member.name for cluster in self.clusters for member in cluster.members}
            of = _counted(len(classes), "class", "classes")
        else:
            of = _counted(self.images, "image", "images")
        clusters = _counted(len(self.clusters), "cluster", "clusters")
        return f"{_counted(self.regions, 'region', 'regions')} of {of}, {clusters}"


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def facts(run: Run) -> list[ClassFacts]:
    """Return the facts of every clustered class, groups first, then in the clusters table's order.

    Raises:
        InputError: If the run is not clustered yet, or a table is damaged.
    """
    run.require("cluster")
    clusters = run.read(CLUSTERS, "cluster", "clusters.parquet")
    rows = clusters.drop_columns(["centroid", "exemplars"]).to_pylist()
    spectra = run.read(SPECTRA, "cluster", "spectra.parquet")
    eigenvalues = {
        row["class"]: row["eigenvalues"]
        for row in spectra.select(["class", "eigenvalues"]).to_pylist()
    }
    classes = run.read(CLASSES, "index", index_set(run), "classes.parquet").to_pylist()
    images = {row["class"]: row["images"] for row in classes}
    titles = {row["class"]: row["title"] for row in classes if row["title"]}
    members = _members(rows, titles)
    own: dict[str, list[ClusterFacts]] = {}
    for row in rows:
        inside = members.get(row["cluster"], ()) if row["class"] == SHARED else ()
        own.setdefault(row["class"], []).append(_cluster(row, inside))
    found = [
        ClassFacts(
            name,
            _SHARED_TITLE if name == SHARED else titles.get(name, name),
            images.get(name, 0),
            tuple(sorted(clusters_, key=lambda cluster: cluster.number)),
            tuple(eigenvalues.get(name, ())),
        )
        for name, clusters_ in own.items()
    ]
    return sorted(found, key=lambda item: not item.shared)


def _members(rows: list[Row], titles: Mapping[str, str]) -> dict[int, tuple[Member, ...]]:
    """Return the clusters of each group, the largest first."""
    members: dict[int, list[Member]] = {}
    for row in sorted(rows, key=lambda row: (-row["regions"], row["class"], row["cluster"])):
        if row["group"] is not None:
            title = titles.get(row["class"], row["class"])
            member = Member(row["class"], title, row["cluster"], row["regions"])
            members.setdefault(row["group"], []).append(member)
    return {group: tuple(own) for group, own in members.items()}


def _cluster(row: Row, members: tuple[Member, ...]) -> ClusterFacts:
    return ClusterFacts(
        row["cluster"],
        row["regions"],
        row["share"],
        row["images"],
        row["image_share"],
        row["membership"],
        row["group"],
        members,
    )
