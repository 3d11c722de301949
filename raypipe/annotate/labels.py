"""The labels of a run: an append-only log of answers, and what they amount to now.

An answer is about the regions that were shown: it holds as long as its class has a cluster of just
these, whatever that cluster's number is now, and stays in the log without counting once there is
none. Of one annotator the latest answer counts, over annotators the majority. An answer on a group
holds for every cluster in it that has no answer of its own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from raypipe.annotate import csvfile, votes
from raypipe.annotate.csvfile import Clusters, Key
from raypipe.annotate.parse import ANONYMOUS, parse
from raypipe.errors import LabelError
from raypipe.storage.run import Run
from raypipe.tables import CLUSTERS, LABELS

_FOLDER = "labels"
_FILE = re.compile(r"\d{5,}-[0-9a-f]{12}\.parquet")


@dataclass(frozen=True)
class Ingested:
    """What an ingest did.

    Attributes:
        file: Name of the file written below `labels/`; empty if nothing was new.
        answers: Rows that the input amounts to.
        object: Answers of that verdict.
        distractor: Likewise.
        unsure: Likewise.
    """

    file: str
    answers: int
    object: int
    distractor: int
    unsure: int


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
        stale: Rows of the log that are about clusters that the class has no more.
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
        unknown: Rows of the log about classes that have no clusters now.
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
) -> Ingested:
    """Add the answers of a labels CSV to the run: all of them, or none.

    Args:
        run: The run; its clusters must be those the answers are about.
        content: The CSV file.
        source: Its name, for errors.
        annotator: Who answered, where the file does not say.
        allow_partial: Take questions that have no answer, here or in the run, as unsure.

    Raises:
        LabelError: If anything in the file does not fit; the message names every bad line.
        InputError: If the run is not clustered yet.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabelError(
            f"{source}: not UTF-8 text (byte {error.start})", "save it as CSV UTF-8"
        ) from None
    rows = parse(
        text,
        clusters_of(run),
        source=source,
        annotator=annotator,
        allow_partial=allow_partial,
        answered=_given(run) if allow_partial else (),
    )
    return record(run, rows)


def record(run: Run, rows: pa.Table) -> Ingested:
    """Append answers to the log, unless each of them stands already.

    Args:
        run: The run.
        rows: Rows of `tables.LABELS`.
    """
    answers_ = rows.to_pylist()
    standing = votes.latest(_log(run))
    if all(
        standing.get(votes.who(row), {}) | {"cluster": row["cluster"]} == row for row in answers_
    ):
        name = ""
    else:
        digest = hashlib.sha256(json.dumps(answers_, sort_keys=True).encode()).hexdigest()[:12]
        name = f"{_next_number(run):05d}-{digest}.parquet"
        run.write(LABELS, rows, _FOLDER, name)
    counts = Counter(row["verdict"] for row in answers_)
    return Ingested(name, len(answers_), counts["object"], counts["distractor"], counts["unsure"])


def answers(run: Run) -> pa.Table:
    """Return the answers that count: each annotator's latest on the clusters and groups of now.

    Returns:
        Rows of `tables.LABELS` with the clusters' numbers of now, sorted by class, cluster and
        annotator.

    Raises:
        InputError: If the run is not clustered yet, or a file of the log is damaged.
    """
    return LABELS.build(votes.current(clusters_of(run), _log(run)))


def verdicts(run: Run) -> dict[Key, str]:
    """Return the verdict on each cluster that has one: its own, or that of its group.

    Of several annotators' answers the majority counts, ties are unsure. Groups are resolved: they
    are no keys.

    Raises:
        InputError: If the run is not clustered yet, or a file of the log is damaged.
    """
    clusters = clusters_of(run)
    return votes.resolved(clusters, votes.majorities(votes.current(clusters, _log(run))))


def questions(run: Run) -> dict[str, int]:
    """Return how many clusters of each class were answered, groups by the name `tables.SHARED`.

    Raises:
        InputError: If the run is not clustered yet, or a file of the log is damaged.
    """
    return dict(Counter(name for name, _ in _given(run)))


def labels_fingerprint(run: Run) -> str:
    """Return 16 hexadecimal digits that change with any verdict; empty while there is none."""
    current = verdicts(run)
    if not current:
        return ""
    content = json.dumps([[*key, current[key]] for key in sorted(current)])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def status(run: Run) -> Status:
    """Return how far each class is answered.

    Raises:
        InputError: If the run is not clustered yet, or a file of the log is damaged.
    """
    clusters, log = clusters_of(run), _log(run)
    stale = Counter(
        row["class"]
        for row in log
        if (row["class"], row["membership"]) not in clusters.by_membership
    )
    given = votes.majorities(votes.current(clusters, log))
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
    return votes.majorities(answers(run).to_pylist())


def _log(run: Run) -> list[dict[str, Any]]:
    """Return every row of the log, the oldest first."""
    return [row for name in _files(run) for row in _read(run, name).to_pylist()]


def _read(run: Run, name: str) -> pa.Table:
    place = run.step(_FOLDER) / name
    rows = place.read_table()
    if "membership" not in rows.column_names and "clustering" in rows.column_names:
        # Up to version 2 an answer named all clusters of its class; it is kept, as a stale one.
        rows = rows.rename_columns({"clustering": "membership"})
    return LABELS.check(rows, str(place))


def _files(run: Run) -> list[str]:
    # Zero-padded numbers: the order of the names is the order of time.
    return [name for name in run.step(_FOLDER).names() if _FILE.fullmatch(name)]


def _next_number(run: Run) -> int:
    return max((int(name.split("-")[0]) for name in _files(run)), default=0) + 1
