"""Reading the answers of a file: taken whole, or refused with every bad line named."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import pyarrow as pa

from raypipe import cells
from raypipe.annotate import csvfile, studio
from raypipe.annotate.csvfile import Cells, Clusters, Key, Sheet
from raypipe.annotate.votes import VERDICTS
from raypipe.errors import LabelError
from raypipe.tables import LABELS

ANONYMOUS = "anonymous"
Missing = Literal["refused", "unsure", "open"]

_SPELLINGS = {
    "object": "object", "o": "object", "1": "object",
    "distractor": "distractor", "d": "distractor", "0": "distractor",
    "unsure": "unsure", "u": "unsure",
}  # fmt: skip
Answer = tuple[str, float | None, str]
"""Verdict, seconds and note."""

_SHOWN = 20  # problems shown of a file; the rest is counted


def parse(
    text: str,
    clusters: Clusters,
    *,
    source: str,
    annotator: str = ANONYMOUS,
    missing: Missing = "refused",
    answered: Collection[Key] = (),
) -> pa.Table:
    """Read the answers from a labels CSV, or from the JSON that Label Studio exports.

    Args:
        text: The CSV, separated by `,` or `;`, with or without a byte order mark; or the JSON.
        clusters: What can be answered now.
        source: Name of the file, for the error.
        annotator: Who answered, where the file does not say.
        missing: What questions without an answer come to: the file is `refused`, they are taken
            as `unsure`, or they are left `open`.
        answered: Clusters that have an answer already; `unsure` leaves them alone.

    Returns:
        Rows of `tables.LABELS`, one an annotator and cluster, in the order of the clusters.

    Raises:
        LabelError: If anything does not fit; the message names every bad line.
    """
    if studio.is_json(text):
        sheet = studio.read(text, clusters, source)
    else:
        sheet = csvfile.read(text, source)
    reader = _Reader(clusters, annotator, sheet)
    for line, row in sheet.rows:
        reader.take(line, row)
    without = reader.missing()
    problems = reader.problems + (list(without.values()) if missing == "refused" else [])
    if problems:
        raise _refusal(source, problems, sheet.unit)
    if missing == "unsure":
        reader.fill([key for key in without if key not in answered])
    return reader.table()


def _refusal(source: str, problems: list[str], unit: str) -> LabelError:
    shown = problems[:_SHOWN]
    if len(problems) > _SHOWN:
        shown.append(f"and {len(problems) - _SHOWN} more")
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return LabelError(
        "\n  ".join([f"{source}: {count}, nothing was written", *shown]),
        f"mend these {unit}s and ingest the file again; `raypipe labels template` writes a fresh "
        "one, --allow-partial takes questions without an answer as unsure, --answered-only leaves "
        "them open",
    )


class _Reader:
    """Holds the answers read so far, and says what is wrong with the rest.

    Attributes:
        problems: One line of text each, in the order of the file.
    """

    def __init__(self, clusters: Clusters, annotator: str, sheet: Sheet) -> None:
        self.problems: list[str] = []
        self._clusters = clusters
        self._keys = {(key[0], str(key[1])): key for key in clusters.memberships}
        self._annotator = annotator
        self._decimal_comma = sheet.separator == ";"
        self._unit = sheet.unit
        self._answers: dict[tuple[Key, str], Answer] = {}
        self._lines: dict[tuple[Key, str], int] = {}
        self._blank: dict[Key, int] = {}
        self._spoilt: set[Key] = set()
        # Many annotators answer the same questions: each is looked up once.
        self._questions: dict[tuple[str, str, str], tuple[Key | None, str]] = {}

    def take(self, line: int, cells: Cells | None) -> None:
        """Take one row; what does not fit goes to the problems."""
        if cells is None:
            self._complain(line, "not as many cells as the first line has columns")
            return
        before = len(self.problems)
        name, cluster, given, annotator, time, note, membership = cells
        key = self._key(line, (name, cluster, membership))
        verdict = self._verdict(line, given)
        seconds = self._seconds(line, time)
        if key is None:
            return
        if len(self.problems) > before:
            self._spoilt.add(key)
        elif verdict is None:
            self._blank.setdefault(key, line)
        else:
            self._add(line, (key, _text(annotator) or self._annotator), verdict, seconds, note)

    def _complain(self, line: int, problem: str) -> None:
        self.problems.append(f"{self._unit} {line}: {problem}")

    def _key(self, line: int, cells: tuple[str, str, str]) -> Key | None:
        """Return the cluster that a row is about, if there is one."""
        if cells not in self._questions:
            self._questions[cells] = self._question(*cells)
        key, problem = self._questions[cells]
        if problem:
            self._complain(line, problem)
        return key

    def _question(self, cell: str, cluster: str, membership: str) -> tuple[Key | None, str]:
        """Return the cluster that cells name, if there is one, and what is wrong with them."""
        name = cells.unprotected(cell)
        if name not in self._clusters.numbers:
            name = cells.unprotected(cell.strip())
        if name not in self._clusters.numbers:
            return None, f"unknown class {_short(name)}"
        key = self._keys.get((name, cluster.strip()))
        given = cells.unprotected(membership.strip())
        # The membership alone would do, but a number that belies it says that lines were mixed up.
        meant = self._clusters.by_membership.get((name, given))
        if meant is not None and meant != key:
            return key, (
                f"names cluster {_short(cluster)} of {_short(name)}, but its membership is "
                f"that of cluster {meant[1]}"
            )
        if key is None:
            return None, f"class {_short(name)} has no cluster {_short(cluster)}"
        if meant is None:
            now = self._clusters.memberships[key]
            return (
                key,
                f"stale: {_named(key)} is {now} now, the {self._unit} is about {_short(given)}",
            )
        return key, ""

    def _verdict(self, line: int, cell: str) -> str | None:
        verdict = _SPELLINGS.get(cell) or _SPELLINGS.get(cell.strip().lower())
        if verdict is None and cell.strip():
            self._complain(line, f"verdict {_short(cell)} is none of {', '.join(VERDICTS)}")
        return verdict

    def _seconds(self, line: int, cell: str) -> float | None:
        if not cell.strip():
            return None
        try:
            seconds = float(cell.replace(",", ".") if self._decimal_comma else cell)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= studio.LONGEST:  # nan is caught here as well
            self._complain(line, f"seconds {_short(cell)} is not a number of seconds")
        return seconds + 0.0  # no negative zero, which a spreadsheet takes for a formula

    def _add(
        self, line: int, who: tuple[Key, str], verdict: str, seconds: float | None, note: str
    ) -> None:
        first = self._answers.get(who)
        if first is None:
            self._answers[who] = (verdict, seconds, _text(note))
            self._lines[who] = line
        elif first[0] != verdict:
            self._complain(
                line,
                f"{_short(who[1])} answers {verdict} on {_named(who[0])}, "
                f"but {first[0]} on {self._unit} {self._lines[who]}",
            )

    def missing(self) -> dict[Key, str]:
        """Return the questions that nobody answered, and how to say so."""
        seen = {key for key, _ in self._answers} | self._spoilt
        return {
            key: f"{self._unit} {self._blank[key]}: no verdict on {_named(key)}"
            if key in self._blank
            else f"no {self._unit} about {_named(key)}"
            for key in self._clusters.questions
            if key not in seen
        }

    def fill(self, keys: list[Key]) -> None:
        """Record clusters as unsure, in the name of the file's annotator."""
        # Under another name, this would still count against that annotator's later answer.
        names = {annotator for _, annotator in self._answers}
        annotator = names.pop() if len(names) == 1 else self._annotator
        for key in keys:
            self._answers[key, annotator] = ("unsure", None, "")

    def table(self) -> pa.Table:
        """Return the answers, in the order of the clusters, then by annotator."""
        order = {key: place for place, key in enumerate(self._clusters.memberships)}
        ranked = sorted(self._answers, key=lambda who: (order[who[0]], who[1]))
        answers = [self._answers[who] for who in ranked]
        columns = {
            "class": [key[0] for key, _ in ranked],
            "cluster": [key[1] for key, _ in ranked],
            "verdict": [verdict for verdict, _, _ in answers],
            "annotator": [annotator for _, annotator in ranked],
            "seconds": [seconds for _, seconds, _ in answers],
            "note": [note for _, _, note in answers],
            "membership": [self._clusters.memberships[key] for key, _ in ranked],
            "at": [None] * len(ranked),
        }
        return pa.table(columns, schema=LABELS.schema)


def _text(cell: str) -> str:
    """Return a name or a note without what protects it, and without blanks around it."""
    return cells.unprotected(cell.strip()).strip() if cell else ""


def _named(key: Key) -> str:
    return f"cluster {key[1]} of {_short(key[0])}"


def _short(cell: str) -> str:
    """Quote a cell for a message, on one line and cut to a readable length."""
    quoted = repr(cell.strip())
    return quoted if len(quoted) <= 60 else quoted[:57] + "..."
