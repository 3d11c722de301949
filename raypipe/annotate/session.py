"""The answers of a run while people give them: each sees their own, and what to answer next.

What is answered is on disk, or in the bucket, before a method returns. Nothing is remembered that
the log does not say, so another process may add to it, and this one may be killed, at any time.
"""

from __future__ import annotations

import statistics
import threading
from dataclasses import dataclass
from typing import Any

from raypipe.annotate import labels, log
from raypipe.annotate.asking import Asking, page_file
from raypipe.annotate.csvfile import Clusters, Key
from raypipe.annotate.gain import order
from raypipe.annotate.history import History
from raypipe.annotate.votes import WITHDRAWN, Row
from raypipe.errors import InputError
from raypipe.storage.run import Run
from raypipe.tables import CLUSTERS, LABELS

State = dict[str, Any]
"""What an annotator's page shows; as JSON, so the names are the API's."""


class UnknownError(InputError):
    """An answer on a cluster that the run does not have."""


class StaleError(InputError):
    """An answer on regions that are a cluster no more."""


@dataclass(frozen=True)
class _Questions:
    """What is asked.

    Attributes:
        identity: Of the clustering.
        clusters: Its clusters and groups.
        order: Those that are asked about, the one with the highest expected gain first.
    """

    identity: str
    clusters: Clusters
    order: tuple[Key, ...]


class Session:
    """One run that is being answered; its methods may be called from several threads.

    Args:
        run: A clustered run.

    Raises:
        InputError: If the run is not clustered, or a table is damaged.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._questions = _read_questions(run)
        self._files: set[str] = set()
        self._entries: set[str] = set()  # of the log, that the histories know
        self._histories: dict[str, History] = {}

    def state(self, annotator: str) -> State:
        """Return what an annotator's page shows, their answers included.

        Raises:
            InputError: If the run cannot be read.
        """
        with self._lock:
            self._look()
            answers = [self._shown(row) for row in self._standing(annotator)]
            return {"answers": answers} | self._summary(annotator)

    def answer(
        self,
        annotator: str,
        key: Key,
        membership: str,
        verdict: str,
        *,
        seconds: float | None = None,
        note: str = "",
    ) -> State:
        """Record an answer.

        Args:
            annotator: Who answers.
            key: The cluster that was shown. If it has another number by now, the answer is on that.
            membership: Fingerprint of its regions.
            verdict: object, distractor or unsure.
            seconds: Time the answer took.
            note: Free text.

        Raises:
            UnknownError: If the run has no such cluster.
            StaleError: If that cluster is of other regions now.
            InputError: If the answer cannot be saved.
        """
        with self._lock:
            self._look()
            known = self._questions.clusters
            now = known.by_membership.get((key[0], membership))
            if now is None and key not in known.memberships:
                raise UnknownError(
                    f"there is no cluster {key[1]} of {key[0]}", "open the index again"
                )
            if now is None:
                raise StaleError(
                    f"cluster {key[1]} of {key[0]} holds other regions now",
                    "open its page again: the run was clustered anew",
                )
            rows = LABELS.build([{
                "class": now[0], "cluster": now[1], "verdict": verdict, "annotator": annotator,
                "seconds": seconds, "note": note, "membership": membership,
            }]).to_pylist()  # fmt: skip
            if not self._history(annotator).stands(rows[0]):  # else it was sent twice
                self._append(annotator, rows)
            return {"saved": True} | self._summary(annotator)

    def undo(self, annotator: str) -> State:
        """Take an annotator's last answer back.

        Raises:
            InputError: If that cannot be saved.
        """
        with self._lock:
            self._look()
            return self._changed(annotator, self._history(annotator).undo())

    def redo(self, annotator: str) -> State:
        """Give the answer again that an annotator took back last.

        Raises:
            InputError: If that cannot be saved.
        """
        with self._lock:
            self._look()
            return self._changed(annotator, self._history(annotator).redo())

    def _changed(self, annotator: str, rows: list[Row]) -> State:
        changed = None
        if rows:
            self._append(annotator, rows)
            last = self._shown(rows[-1])
            verdict = None if last["verdict"] == WITHDRAWN else last["verdict"]
            names = ("class", "cluster", "membership")
            changed = {name: last[name] for name in names} | {"verdict": verdict}
            changed["page"] = page_file(last["class"])
        return {"changed": changed} | self._summary(annotator)

    def _append(self, annotator: str, rows: list[Row]) -> None:
        """Save rows, all or none, and only then believe them."""
        name = labels.append(self._run, LABELS.build([row | {"at": None} for row in rows]))
        self._files.add(name)
        self._entries.add(name.removesuffix(".parquet"))
        history = self._histories.setdefault(annotator, History())
        for row in rows:
            history.add(row)

    def _look(self) -> None:
        """Take note of what other processes did: clustered anew, ingested answers."""
        clustered = self._run.manifest("cluster")
        if clustered is None or clustered.identity != self._questions.identity:
            self._questions = _read_questions(self._run)
            self._histories, self._entries, self._files = {}, set(), set()
        files = set(self._run.step("labels").names())
        if files != self._files:
            self._read_new()
            self._files = files

    def _read_new(self) -> None:
        """Read what is new in the log; files that were put together hold nothing new."""
        known = self._questions.clusters.by_membership
        found = log.read(self._run)
        for entry in found.entries:
            if entry.name not in self._entries:
                self._entries.add(entry.name)
                for row in found.rows(entry).to_pylist():
                    if (row["class"], row["membership"]) in known:
                        self._histories.setdefault(row["annotator"], History()).add(row)

    def _history(self, annotator: str) -> History:
        return self._histories.get(annotator) or History()

    def _standing(self, annotator: str) -> list[Row]:
        return self._history(annotator).standing()

    def _shown(self, row: Row) -> State:
        """Return an answer under the number that its cluster has now."""
        name, number = self._questions.clusters.by_membership[row["class"], row["membership"]]
        said = {field: row[field] for field in ("membership", "verdict", "seconds", "note")}
        return {"class": name, "cluster": number} | said

    def _summary(self, annotator: str) -> State:
        history, questions = self._history(annotator), self._questions
        standing = history.standing()
        by_membership = questions.clusters.by_membership
        given = {by_membership[row["class"], row["membership"]] for row in standing}
        open_ = [key for key in questions.order if key not in given]
        seconds = [row["seconds"] for row in standing if row["seconds"] is not None]
        return {
            "annotator": annotator,
            "can_undo": bool(history.undo()),
            "can_redo": bool(history.redo()),
            "answered": len(questions.order) - len(open_),
            "questions": len(questions.order),
            "seconds": round(statistics.median(seconds), 2) if seconds else None,
            "next": _question(open_[0]) if open_ else None,
        }


def _read_questions(run: Run) -> _Questions:
    identity = run.require("cluster").identity
    table = run.read(CLUSTERS, "cluster", "clusters.parquet")
    asking = Asking.in_table(identity, table)
    return _Questions(identity, Clusters.of(table), tuple(order(asking.gains)))


def _question(key: Key) -> State:
    return {"class": key[0], "cluster": key[1], "page": page_file(key[0])}
