"""Ways of answering a small run, for the tests of what becomes of answers."""

from __future__ import annotations

from raypipe.annotate import labels
from raypipe.storage.run import Run
from raypipe.tables import LABELS

KEYS = [("cat", 1), ("cat", 2), ("dog", 1), ("dog", 2)]


def sheet(run: Run, answers: dict[tuple[str, int], str]) -> bytes:
    memberships = labels.clusters_of(run).memberships
    lines = [f"{key[0]},{key[1]},{verdict},{memberships[key]}" for key, verdict in answers.items()]
    return "\n".join(["class,cluster,verdict,membership", *lines]).encode()


def give(
    run: Run, answers: dict[tuple[str, int], str], who: str = "ann", *, partial: bool = False
) -> labels.Ingested:
    return labels.ingest(
        run, sheet(run, answers), source="labels.csv", annotator=who, allow_partial=partial
    )


def add(run: Run, *verdicts: str, who: str = "ann", partial: bool = False) -> labels.Ingested:
    return give(run, dict(zip(KEYS, verdicts, strict=True)), who, partial=partial)


def files(run: Run) -> list[str]:
    return run.step("labels").names()


def split(world, name: str, number: int, into: int) -> None:
    """Move the lower half of a cluster's regions to a new cluster."""
    world.regions[name] = [
        (into if own == number and row == 3 else own, image, row, col, typicality)
        for own, image, row, col, typicality in world.regions[name]
    ]
    world.write_clusters(Run.at(str(world.folder / "run")))


def renumber(world, name: str, numbers: dict[int, int]) -> None:
    world.regions[name] = [(numbers[row[0]], *row[1:]) for row in world.regions[name]]
    world.write_clusters(Run.at(str(world.folder / "run")))


def answer(run: Run, key: tuple[str, int], verdict: str = "object", who: str = "ann") -> dict:
    return {
        "class": key[0], "cluster": key[1], "verdict": verdict, "annotator": who, "seconds": None,
        "note": "", "membership": labels.clusters_of(run).memberships[key],
    }  # fmt: skip


def withdraw(run: Run, key: tuple[str, int], who: str = "ann") -> str:
    return labels.record(run, LABELS.build([answer(run, key, "withdrawn", who)])).file
