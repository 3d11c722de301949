"""The labels of a run: an append-only log of answers, and what they amount to now.

An answer is about the regions that were shown: it holds as long as its class has a cluster of just
these, whatever that cluster's number is now, and stays in the log without counting once there is
none. Of one annotator the latest answer counts, over annotators the majority. An answer on a group
holds for every cluster in it that has no answer of its own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.annotate import csvfile, log, votes
from raypipe.annotate.csvfile import Clusters, Key
from raypipe.annotate.parse import ANONYMOUS, parse
from raypipe.errors import UsageError
from raypipe.storage.run import Run
from raypipe.tables import CLUSTERS


@dataclass(frozen=True)
class Ingested:
    """What an ingest did.

    Attributes:
        file: Name of the file written below `labels/`; empty if nothing was new, or to be written.
        answers: Rows that the input amounts to.
        object: Answers of that verdict.
        distractor: Likewise.
        unsure: Likewise.
        withdrawn: Answers taken back.
        new: Rows where no answer of that annotator stood.
        changed: Rows that differ from the answer that stood.
    """

    file: str
    answers: int
    object: int
    distractor: int
    unsure: int
    withdrawn: int
    new: int
    changed: int


@dataclass(frozen=True)
class ClassStatus:
    """How far one class is answered.

    Attributes:
        name: The class, or `tables.SHARED` for the groups of all classes.
        clusters: Its clusters.
        questions: Those among them that are asked about; the others belong to a group.
        object: Clusters of that effective verdict.
        distractor: Likewise.
        unsure: Likewise.
        overrides: Clusters of a group that have an answer of their own.
        stale: Answers that are about clusters that the class has no more.
        missing: Numbers of the clusters that are asked about and that nobody answered.
    """

    name: str
    clusters: int
    questions: int
    object: int
    distractor: int
    unsure: int
    overrides: int
    stale: int
    missing: tuple[int, ...]

    @property
    def answered(self) -> int:
        """Questions with an answer, unsure included."""
        return self.questions - len(self.missing)

    @property
    def settled(self) -> int:
        """Clusters with a verdict, their own or their group's."""
        return self.object + self.distractor + self.unsure


@dataclass(frozen=True)
class Status:
    """How far a run is answered.

    Attributes:
        classes: One a class, in the order of the clusters table.
        unknown: Answers about classes that have no clusters now.
    """

    classes: tuple[ClassStatus, ...]
    unknown: int

    @property
    def questions(self) -> int:
        """Questions about all classes."""
        return sum(item.questions for item in self.classes)

    @property
    def answered(self) -> int:
        """Questions with an answer, unsure included."""
        return sum(item.answered for item in self.classes)


def clusters_of(run: Run) -> Clusters:
    """Return the clusters that can be answered now.

    Raises:
        InputError: If the run is not clustered yet.
    """
    run.require("cluster")
    return Clusters.of(run.read(CLUSTERS, "cluster", "clusters.parquet"))


def template(run: Run) -> str:
    """Return a CSV with one row a question, to be filled in.

    Raises:
        InputError: If the run is not clustered yet.
    """
    return csvfile.template(clusters_of(run))


def ingest(
    run: Run,
    content: bytes,
    *,
    source: str,
    annotator: str = ANONYMOUS,
    allow_partial: bool = False,
    answered_only: bool = False,
    dry_run: bool = False,
) -> Ingested:
    """Add the answers of a labels CSV to the run: all of them, or none.

    Args:
        run: The run; its clusters must be those the answers are about.
        content: The CSV file.
        source: Its name, for errors and for the log.
        annotator: Who answered, where the file does not say.
        allow_partial: Take questions that have no answer, here or in the run, as unsure.
        answered_only: Leave questions open that have no answer.
        dry_run: Say what would change, and write nothing.

    Raises:
        LabelError: If anything in the file does not fit; the message names every bad line.
        InputError: If the run is not clustered yet.
        UsageError: If missing answers are to be taken as unsure and to be left open.
    """
    if allow_partial and answered_only:
        raise UsageError(
            "--allow-partial takes questions without an answer as unsure, --answered-only leaves "
            "them open",
            "give one of the two",
        )
    rows = parse(
        csvfile.decoded(content, source),
        clusters_of(run),
        source=source,
        annotator=annotator.strip() or ANONYMOUS,
        missing="unsure" if allow_partial else "open" if answered_only else "refused",
        answered=_given(run) if allow_partial else (),
    )
    return record(run, rows, kind="ingest", source=source, dry_run=dry_run)


def record(
    run: Run, rows: pa.Table, *, kind: str = "answer", source: str = "", dry_run: bool = False
) -> Ingested:
    """Append answers to the log, unless each of them stands already.

    Args:
        run: The run.
        rows: Rows of `tables.LABELS`; where `at` is null, it becomes now.
        kind: What the log calls them: `log.Entry.kind`.
        source: Name of the file they come from; empty if from none.
        dry_run: Write nothing.

    Raises:
        InputError: If a file of the log is damaged, or the new one cannot be written.
    """
    stood, changes = votes.compared(log.read(run).table, rows)
    name = ""
    if changes.any() and not dry_run:
        name = append(run, rows, kind=kind, source=source)
    counts = Counter(rows["verdict"].to_pylist())
    return Ingested(
        name,
        rows.num_rows,
        counts["object"],
        counts["distractor"],
        counts["unsure"],
        counts[votes.WITHDRAWN],
        new=int((changes & ~stood).sum()),
        changed=int((changes & stood).sum()),
    )


def append(run: Run, rows: pa.Table, *, kind: str = "answer", source: str = "") -> str:
    """Append rows to the log without a look at it, whole and at once.

    Args:
        run: The run.
        rows: Rows of `tables.LABELS`; where `at` is null, it becomes now.
        kind: What the log calls them: `log.Entry.kind`.
        source: Name of the file they come from; empty if from none.

    Returns:
        Name of the file below `labels/`.

    Raises:
        InputError: If it cannot be written.
    """
    return log.append(run, rows, kind=kind, source=source)


def compact(run: Run) -> int:
    """Put the log's small files together, as `log.compact`; what counts stays the same."""
    return log.compact(run)


def history(run: Run) -> list[votes.Row]:
    """Return every row of the log, the oldest first, withdrawals and stale answers included.

    Raises:
        InputError: If a file of the log is damaged.
    """
    return list(log.read(run).table.to_pylist())


def answers(run: Run) -> pa.Table:
    """Return the answers that count: each annotator's latest on the clusters and groups of now.

    Returns:
        Rows of `tables.LABELS` with the clusters' numbers of now, sorted by class, cluster and
        annotator.

    Raises:
        InputError: If the run is not clustered yet, or a file of the log is damaged.
    """
    return votes.current(clusters_of(run), log.read(run).table)


def verdicts(run: Run) -> dict[Key, str]:
    """Return the verdict on each cluster that has one: its own, or that of its group.

    Of several annotators' answers the majority counts, ties are unsure. Groups are resolved: they
    are no keys.

    Raises:
        InputError: If the run is not clustered yet, or a file of the log is damaged.
    """
    clusters = clusters_of(run)
    return votes.resolved(clusters, votes.majorities(votes.current(clusters, log.read(run).table)))


def questions(run: Run) -> dict[str, int]:
    """Return how many clusters of each class were answered, groups by the name `tables.SHARED`.

    Raises:
        InputError: If the run is not clustered yet, or a file of the log is damaged.
    """
    return dict(Counter(name for name, _ in _given(run)))


def seconds(run: Run) -> dict[str, float]:
    """Return how long the answers on each class took that count, all annotators' together.

    A class is left out if an answer says nothing of its time. Groups are there by the name
    `tables.SHARED`.

    Raises:
        InputError: If the run is not clustered yet, or a file of the log is damaged.
    """
    rows = (
        answers(run)
        .group_by("class")
        .aggregate([("seconds", "sum"), ("seconds", "count"), ("class", "count")])
    )
    known = rows.filter(pc.equal(rows["seconds_count"], rows["class_count"]))
    return dict(zip(known["class"].to_pylist(), known["seconds_sum"].to_pylist(), strict=True))


def status(run: Run) -> Status:
    """Return how far each class is answered.

    Raises:
        InputError: If the run is not clustered yet, or a file of the log is damaged.
    """
    clusters, table = clusters_of(run), log.read(run).table
    latest = votes.latest(table)
    gone = latest.filter(pa.array(votes.numbers_now(clusters, latest) == 0))
    stale = Counter(gone["class"].to_pylist())
    given = votes.majorities(votes.current(clusters, table))
    effective = given | votes.resolved(clusters, given)
    return Status(
        tuple(
            _class_status(clusters, name, given, effective, stale[name])
            for name in clusters.numbers
        ),
        sum(count for name, count in stale.items() if name not in clusters.numbers),
    )


def _class_status(
    clusters: Clusters, name: str, given: dict[Key, str], effective: dict[Key, str], stale: int
) -> ClassStatus:
    keys = [(name, number) for number in clusters.numbers[name]]
    asked = [key for key in keys if key not in clusters.groups]
    counts = Counter(effective.get(key, "missing") for key in keys)
    return ClassStatus(
        name,
        len(keys),
        len(asked),
        counts["object"],
        counts["distractor"],
        counts["unsure"],
        sum(key in given and key in clusters.groups for key in keys),
        stale,
        tuple(number for _, number in asked if (name, number) not in given),
    )


def _given(run: Run) -> dict[Key, str]:
    """Return the majority on whatever was answered itself, groups and clusters of groups alike."""
    return votes.majorities(answers(run))
