"""The answers of a Label Studio project whose tasks are raypipe's questions.

The forms are Label Studio's own exports: JSON, with the annotations in each task, and JSON-MIN,
with one record an annotation. Everything but the form is checked as in a labels CSV.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from raypipe import cells
from raypipe.annotate.csvfile import Cells, Clusters, Sheet
from raypipe.errors import LabelError

VERDICT, NOTE, PICTURE = "verdict", "note", "picture"
"""Names of the tags in the labelling configuration."""

ABOUT = ("class", "cluster", "membership")
"""What each task's data says about its question."""

LONGEST = 1e6
"""Seconds; more is a slip of the keyboard, or a browser tab that was left open."""

_REMEDY = (
    "export the project that `raypipe labels studio` made from Label Studio as JSON or JSON-MIN"
)


def is_json(text: str) -> bool:
    """Whether a file of answers is JSON: no labels CSV begins like that."""
    return text.lstrip("\ufeff \t\r\n")[:1] in {"[", "{"}


def read(text: str, clusters: Clusters, source: str) -> Sheet:
    """Return a Label Studio export as the rows of a labels CSV, numbered by task.

    A cluster that has another number by now is still found by its membership; an annotation that
    was skipped, and a task that has none, gives a row without a verdict.

    Args:
        text: The JSON.
        clusters: What can be answered now.
        source: Name of the file, for the error.

    Raises:
        LabelError: If it is not such an export of raypipe's questions.
    """
    try:
        tasks = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{source}: not JSON ({error})", _REMEDY) from None
    if not isinstance(tasks, list):
        raise LabelError(f"{source}: not an export of Label Studio: no list of tasks", _REMEDY)
    rows: list[tuple[int, Cells | None]] = []
    for place, task in enumerate(tasks, 1):
        try:
            number = _number(task, place)
            rows += [(number, cells) for cells in _rows(task, clusters)]
        except (KeyError, TypeError, ValueError, AttributeError):
            raise LabelError(
                f"{source}: task {place} of the file is not one of raypipe's questions, or not as "
                "Label Studio exports them",
                _REMEDY,
            ) from None
    return Sheet(",", tuple(rows), "task")


def _number(task: dict[str, Any], place: int) -> int:
    """Return Label Studio's number of a task; a file for import has none yet."""
    return int(task.get("id", place))


def _rows(task: dict[str, Any], clusters: Clusters) -> Iterator[Cells]:
    if "data" not in task:
        yield _cells(task, clusters, _minimal(task))
        return
    given = [one for one in task.get("annotations", []) if not one.get("was_cancelled")]
    for annotation in given:
        yield _cells(task["data"], clusters, _full(annotation))
    if not given:
        yield _cells(task["data"], clusters, ("", "", "", ""))


def _cells(data: dict[str, Any], clusters: Clusters, answer: tuple[str, str, str, str]) -> Cells:
    """Put a row together from a task's data and verdict, annotator, seconds and note."""
    name, cluster, membership = (data[key] for key in ABOUT)
    if not isinstance(name, str) or not isinstance(membership, str):
        raise TypeError
    number = clusters.by_membership.get((name, membership), (name, int(cluster)))[1]
    verdict, annotator, seconds, note = answer
    return (
        cells.protected(name), str(number), verdict, cells.protected(annotator), seconds,
        cells.protected(note), cells.protected(membership),
    )  # fmt: skip


def _full(annotation: dict[str, Any]) -> tuple[str, str, str, str]:
    """Read an annotation of the JSON export."""
    verdicts: list[str] = []
    notes: list[str] = []
    for result in annotation["result"]:
        if result.get("from_name") == VERDICT:
            verdicts += result["value"]["choices"]
        elif result.get("from_name") == NOTE:
            notes += _list(result["value"]["text"])
    by, seconds = annotation.get("completed_by"), annotation.get("lead_time")
    return ", ".join(verdicts), _annotator(by), _seconds(seconds), " ".join(notes)


def _minimal(record: dict[str, Any]) -> tuple[str, str, str, str]:
    """Read a record of the JSON-MIN export: a control tag that was not used is not there."""
    verdict, note = record.get(VERDICT, ""), record.get(NOTE, "")
    if isinstance(verdict, dict):  # several choices are ticked
        verdict = verdict["choices"]
    return (
        ", ".join(_list(verdict)) if verdict else "",
        _annotator(record.get("annotator")),
        _seconds(record.get("lead_time")),
        " ".join(_list(note)) if note else "",
    )


def _list(value: object) -> list[str]:
    """Return texts, which Label Studio gives as one or as a list."""
    values: list[Any] = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in values):
        raise TypeError
    return values


def _annotator(by: object) -> str:
    """Return an annotator's e-mail address, or a name made of the number; empty if not told."""
    if isinstance(by, dict):
        by = by.get("email") or by.get("id")
    if by is None or by == "":
        return ""
    return f"user {by}" if isinstance(by, int) else str(by)


def _seconds(lead_time: float | None) -> str:
    """Return the seconds that an answer took, as a cell; nobody typed what is out of range."""
    if lead_time is None or not 0 <= float(lead_time) <= LONGEST:
        return ""
    return repr(float(lead_time))
