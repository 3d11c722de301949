"""What a sheet says of a class in words and numbers, read from the tables once for all classes."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.annotate.frames import index_set
from raypipe.storage.run import Run
from raypipe.tables import CLASSES, CLUSTERS, SPECTRA


@dataclass(frozen=True)
class ClusterFacts:
    """One cluster, as in `tables.CLUSTERS`."""

    number: int
    regions: int
    share: float
    images: int
    image_share: float


@dataclass(frozen=True)
class ClassFacts:
    """One class that was clustered.

    Attributes:
        name: The class.
        title: Its name for people.
        clustering: Fingerprint of its clusters.
        images: Images that carry its label.
        clusters: Its clusters, by number.
        eigenvalues: Of its affinity graph, the largest first; empty if not kept.
    """

    name: str
    title: str
    clustering: str
    images: int
    clusters: tuple[ClusterFacts, ...]
    eigenvalues: tuple[float, ...]

    @property
    def regions(self) -> int:
        """Regions of all its clusters."""
        return sum(cluster.regions for cluster in self.clusters)


def facts(run: Run) -> list[ClassFacts]:
    """Return the facts of every clustered class, in the order of the clusters table.

    Raises:
        InputError: If the run is not clustered yet, or a table is damaged.
    """
    run.require("cluster")
    clusters = run.read(CLUSTERS, "cluster", "clusters.parquet").to_pylist()
    spectra = run.read(SPECTRA, "cluster", "spectra.parquet").drop_columns(["centre"]).to_pylist()
    eigenvalues = {row["class"]: row["eigenvalues"] for row in spectra}
    classes = run.read(CLASSES, "index", index_set(run), "classes.parquet").to_pylist()
    known = {row["class"]: (row["title"], row["images"]) for row in classes}
    own: dict[str, list[ClusterFacts]] = {}
    clusterings: dict[str, str] = {}
    for row in clusters:
        clusterings[row["class"]] = row["clustering"]
        own.setdefault(row["class"], []).append(
            ClusterFacts(
                row["cluster"], row["regions"], row["share"], row["images"], row["image_share"]
            )
        )
    return [
        ClassFacts(
            name,
            known.get(name, ("", 0))[0] or name,
            clusterings[name],
            known.get(name, ("", 0))[1],
            tuple(sorted(clusters_, key=lambda cluster: cluster.number)),
            tuple(eigenvalues.get(name, ())),
        )
        for name, clusters_ in own.items()
    ]
