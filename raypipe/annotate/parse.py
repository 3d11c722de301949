"""Reading the answers of a labels CSV: taken whole, or refused with every bad line named."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pyarrow as pa

from raypipe.annotate import csvfile
from raypipe.annotate.csvfile import Clusters, Key
from raypipe.errors import LabelError
from raypipe.tables import LABELS

ANONYMOUS = "anonymous"
VERDICTS = ("object", "distractor", "unsure")

_SPELLINGS = {
    "object": "object", "o": "object", "1": "object",
    "distractor": "distractor", "d": "distractor", "0": "distractor",
    "unsure": "unsure", "u": "unsure",
}  # fmt: skip
_SHOWN = 20  # problems shown of a file; the rest is counted
_LONGEST = 1e6  # seconds; more is a slip of the keyboard


def parse(
    text: str,
    clusters: Clusters,
    *,
    source: str,
    annotator: str = ANONYMOUS,
    allow_partial: bool = False,
    answered: Collection[Key] = (),
) -> pa.Table:
    """Read the answers from a labels CSV.

    Args:
        text: The CSV, separated by `,` or `;`, with or without a byte order mark.
        clusters: What can be answered now.
        source: Name of the file, for the error.
        annotator: Who answered, where the file does not say.
        allow_partial: Take questions without an answer as `unsure` instead of refusing the file.
        answered: Clusters that have an answer already; `allow_partial` leaves them alone.

    Returns:
        Rows of `tables.LABELS`, one an annotator and cluster, in the order of the clusters.

    Raises:
        LabelError: If anything does not fit; the message names every bad line.
    """
    sheet = csvfile.read(text, source)
    reader = _Reader(clusters, annotator, decimal_comma=sheet.separator == ";")
    for line, row in sheet.rows:
        reader.take(line, row)
    missing = reader.missing()
    problems = reader.problems + ([] if allow_partial else list(missing.values()))
    if problems:
        raise _refusal(source, problems)
    if allow_partial:
        reader.fill([key for key in missing if key not in answered])
    return reader.table()


def _refusal(source: str, problems: list[str]) -> LabelError:
    shown = problems[:_SHOWN]
    if len(problems) > _SHOWN:
        shown.append(f"and {len(problems) - _SHOWN} more")
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return LabelError(
        "\n  ".join([f"{source}: {count}, nothing was written", *shown]),
        "mend these lines and ingest the file again; `raypipe labels template` writes a fresh one, "
        "--allow-partial takes questions without an answer as unsure",
    )


class _Reader:
    """Holds the answers read so far, and says what is wrong with the rest.

    Attributes:
        problems: One line of text each, in the order of the file.
    """

    def __init__(self, clusters: Clusters, annotator: str, *, decimal_comma: bool) -> None:
        self.problems: list[str] = []
        self._clusters = clusters
        self._keys = {(key[0], str(key[1])): key for key in clusters.memberships}
        self._annotator = annotator
        self._decimal_comma = decimal_comma
        self._answers: dict[tuple[Key, str], dict[str, Any]] = {}
        self._lines: dict[tuple[Key, str], int] = {}
        self._blank: dict[Key, int] = {}
        self._spoilt: set[Key] = set()

    def take(self, line: int, row: dict[str, str] | None) -> None:
        """Take one row; what does not fit goes to the problems."""
        if row is None:
            self._complain(line, "not as many cells as the first line has columns")
            return
        before = len(self.problems)
        key = self._key(line, row)
        verdict = self._verdict(line, row["verdict"])
        seconds = self._seconds(line, row["seconds"])
        if key is None:
            return
        if len(self.problems) > before:
            self._spoilt.add(key)
        elif verdict is None:
            self._blank.setdefault(key, line)
        else:
            annotator = row["annotator"].strip() or self._annotator
            answer = self._answer(key, verdict, annotator, seconds, row["note"].strip())
            self._add(line, key, answer)

    def _complain(self, line: int, problem: str) -> None:
        self.problems.append(f"line {line}: {problem}")

    def _key(self, line: int, row: dict[str, str]) -> Key | None:
        """Return the cluster that a row is about, if there is one."""
        name = csvfile.unprotected(row["class"])
        if name not in self._clusters.numbers:
            name = csvfile.unprotected(row["class"].strip())
        if name not in self._clusters.numbers:
            self._complain(line, f"unknown class {_short(name)}")
            return None
        key = self._keys.get((name, row["cluster"].strip()))
        given = csvfile.unprotected(row["membership"].strip())
        # The membership alone would do, but a number that belies it says that lines were mixed up.
        meant = self._clusters.by_membership.get((name, given))
        if meant is not None and meant != key:
            self._complain(
                line,
                f"names cluster {_short(row['cluster'])} of {_short(name)}, but its membership is "
                f"that of cluster {meant[1]}",
            )
        elif key is None:
            self._complain(line, f"class {_short(name)} has no cluster {_short(row['cluster'])}")
        elif meant is None:
            self._complain(
                line,
                f"stale: {_named(key)} is {self._clusters.memberships[key]} now, "
                f"the line is about {_short(given)}",
            )
        return key

    def _verdict(self, line: int, cell: str) -> str | None:
        verdict = _SPELLINGS.get(cell.strip().lower())
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
        if not 0 <= seconds < _LONGEST:  # nan is caught here as well
            self._complain(line, f"seconds {_short(cell)} is not a number of seconds")
        return seconds

    def _answer(
        self, key: Key, verdict: str, annotator: str, seconds: float | None, note: str
    ) -> dict[str, Any]:
        name, cluster = key
        return {
            "class": name, "cluster": cluster, "verdict": verdict, "annotator": annotator,
            "seconds": seconds, "note": note, "membership": self._clusters.memberships[key],
        }  # fmt: skip

    def _add(self, line: int, key: Key, answer: dict[str, Any]) -> None:
        who = (key, answer["annotator"])
        first = self._answers.setdefault(who, answer)
        if first["verdict"] == answer["verdict"]:
            self._lines.setdefault(who, line)
            return
        self._complain(
            line,
            f"{_short(answer['annotator'])} answers {answer['verdict']} on {_named(key)}, "
            f"but {first['verdict']} on line {self._lines[who]}",
        )

    def missing(self) -> dict[Key, str]:
        """Return the questions that nobody answered, and how to say so."""
        seen = {key for key, _ in self._answers} | self._spoilt
        return {
            key: f"line {self._blank[key]}: no verdict on {_named(key)}"
            if key in self._blank
            else f"no line about {_named(key)}"
            for key in self._clusters.questions
            if key not in seen
        }

    def fill(self, keys: list[Key]) -> None:
        """Record clusters as unsure, in the name of the file's annotator."""
        # Under another name, this would still count against that annotator's later answer.
        names = {annotator for _, annotator in self._answers}
        annotator = names.pop() if len(names) == 1 else self._annotator
        for key in keys:
            self._answers[key, annotator] = self._answer(key, "unsure", annotator, None, "")

    def table(self) -> pa.Table:
        """Return the answers, in the order of the clusters, then by annotator."""
        order = {key: place for place, key in enumerate(self._clusters.memberships)}
        ranked = sorted(self._answers, key=lambda who: (order[who[0]], who[1]))
        return LABELS.build([self._answers[who] for who in ranked])


def _named(key: Key) -> str:
    return f"cluster {key[1]} of {_short(key[0])}"


def _short(cell: str) -> str:
    """Quote a cell for a message, on one line and cut to a readable length."""
    quoted = repr(cell.strip())
    return quoted if len(quoted) <= 60 else quoted[:57] + "..."
