"""The labels of a run: an append-only log of answers, and what they amount to now.

An answer holds for the clusters it was given on: once a class is clustered anew, its old answers
stay in the log but count no more. Of one annotator the latest answer counts, over annotators the
majority.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from raypipe.annotate import csvfile
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
        name: The class.
        clusters: Its clusters.
        object: Clusters of that effective verdict.
        distractor: Likewise.
        unsure: Likewise.
        stale: Rows of the log that are about an older clustering of the class.
        missing: Numbers of the clusters that nobody answered.
    """

    name: str
    clusters: int
    object: int
    distractor: int
    unsure: int
    stale: int
    missing: tuple[int, ...]

    @property
    def answered(self) -> int:
        """Clusters with a verdict, unsure included."""
        return self.clusters - len(self.missing)


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
    def clusters(self) -> int:
        """Clusters of all classes."""
        return sum(item.clusters for item in self.classes)

    @property
    def answered(self) -> int:
        """Clusters of all classes with a verdict."""
        return sum(item.answered for item in self.classes)


def clusters_of(run: Run) -> Clusters:
    """Return the clusters that can be answered now.

    Raises:
        InputError: If the run is not clustered yet.
    """
    run.require("cluster")
    return Clusters.of(run.read(CLUSTERS, "cluster", "clusters.parquet"))


def template(run: Run) -> str:
    """Return a CSV with one row a cluster, to be filled in.

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
        allow_partial: Take clusters that have no answer, here or in the run, as unsure.

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
        answered=verdicts(run) if allow_partial else (),
    )
    return record(run, rows)


def record(run: Run, rows: pa.Table) -> Ingested:
    """Append answers to the log, unless each of them stands already.

    Args:
        run: The run.
        rows: Rows of `tables.LABELS`.
    """
    answers_ = rows.to_pylist()
    standing = _latest(_log(run))
    if all(standing.get(_who(row)) == row for row in answers_):
        name = ""
    else:
        digest = hashlib.sha256(json.dumps(answers_, sort_keys=True).encode()).hexdigest()[:12]
        name = f"{_next_number(run):05d}-{digest}.parquet"
        run.write(LABELS, rows, _FOLDER, name)
    counts = Counter(row["verdict"] for row in answers_)
    return Ingested(name, len(answers_), counts["object"], counts["distractor"], counts["unsure"])


def answers(run: Run) -> pa.Table:
    """Return the answers that count: each annotator's latest on the clusters of now.

    Returns:
        Rows of `tables.LABELS`, sorted by class, cluster and annotator.

    Raises:
        InputError: If the run is not clustered yet, or a file of the log is damaged.
    """
    current = clusters_of(run).clusterings
    latest = _latest([row for row in _log(run) if current.get(row["class"]) == row["clustering"]])
    return LABELS.build([latest[who] for who in sorted(latest)])


def verdicts(run: Run) -> dict[Key, str]:
    """Return the verdict on each answered cluster: the majority of annotators, ties unsure.

    Raises:
        InputError: If the run is not clustered yet, or a file of the log is damaged.
    """
    votes: dict[Key, Counter[str]] = {}
    for row in answers(run).to_pylist():
        votes.setdefault((row["class"], row["cluster"]), Counter())[row["verdict"]] += 1
    return {key: _majority(count) for key, count in votes.items()}


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
    clusters, current = clusters_of(run), verdicts(run)
    stale = Counter(
        row["class"]
        for row in _log(run)
        if clusters.clusterings.get(row["class"]) != row["clustering"]
    )
    return Status(
        tuple(
            _class_status(name, own, current, stale[name])
            for name, own in clusters.numbers().items()
        ),
        sum(count for name, count in stale.items() if name not in clusters.clusterings),
    )


def _class_status(
    name: str, numbers: list[int], current: dict[Key, str], stale: int
) -> ClassStatus:
    counts = Counter(current.get((name, number), "missing") for number in numbers)
    return ClassStatus(
        name,
        len(numbers),
        counts["object"],
        counts["distractor"],
        counts["unsure"],
        stale,
        tuple(number for number in numbers if (name, number) not in current),
    )


def _majority(votes: Counter[str]) -> str:
    (verdict, most), *others = votes.most_common()
    return "unsure" if others and others[0][1] == most else verdict


def _who(row: dict[str, Any]) -> tuple[str, int, str, str]:
    """Return what at most one answer can stand for."""
    return row["class"], row["cluster"], row["annotator"], row["clustering"]


def _latest(rows: list[dict[str, Any]]) -> dict[tuple[str, int, str, str], dict[str, Any]]:
    return {_who(row): row for row in rows}  # the log is in order, so the last one wins


def _log(run: Run) -> list[dict[str, Any]]:
    """Return every row of the log, the oldest first."""
    return [row for name in _files(run) for row in run.read(LABELS, _FOLDER, name).to_pylist()]


def _files(run: Run) -> list[str]:
    # Zero-padded numbers: the order of the names is the order of time.
    return [name for name in run.step(_FOLDER).names() if _FILE.fullmatch(name)]


def _next_number(run: Run) -> int:
    return max((int(name.split("-")[0]) for name in _files(run)), default=0) + 1
