"""The labels CSV as text: the empty one that people fill in, and its rows once they did."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter

import pyarrow as pa
import pyarrow.compute as pc

from raypipe import cells
from raypipe.errors import LabelError

Key = tuple[str, int]
"""A cluster: its class and its number."""

Cells = tuple[str, ...]
"""The cells of a row, in the order of `COLUMNS`."""

COLUMNS = ("class", "cluster", "verdict", "annotator", "seconds", "note", "membership")

_REQUIRED = ("class", "cluster", "verdict", "membership")


@dataclass(frozen=True)
class Clusters:
    """The clusters that can be answered.

    A group is a cluster of class `tables.SHARED`: its verdict holds for its members, unless one of
    them is answered itself.

    Attributes:
        memberships: Fingerprint of every cluster's regions, in the table's order.
        groups: Number of the group that each cluster belongs to; a cluster without is absent.
    """

    memberships: Mapping[Key, str]
    groups: Mapping[Key, int] = field(default_factory=dict)

    @classmethod
    def of(cls, table: pa.Table) -> Clusters:
        """Make it from a table of `tables.CLUSTERS`."""
        columns = (table[name].to_pylist() for name in ("class", "cluster", "membership", "group"))
        rows = list(zip(*columns, strict=True))
        return cls(
            {(name, cluster): membership for name, cluster, membership, _ in rows},
            {(name, cluster): group for name, cluster, _, group in rows if group is not None},
        )

    @cached_property
    def numbers(self) -> dict[str, list[int]]:
        """Numbers of each class's clusters."""
        numbers: dict[str, list[int]] = {}
        for name, cluster in self.memberships:
            numbers.setdefault(name, []).append(cluster)
        return numbers

    @cached_property
    def by_membership(self) -> dict[tuple[str, str], Key]:
        """The cluster of each class and membership."""
        return {(key[0], membership): key for key, membership in self.memberships.items()}

    @cached_property
    def questions(self) -> tuple[Key, ...]:
        """What is asked: groups, and clusters that belong to none."""
        return tuple(key for key in self.memberships if key not in self.groups)


@dataclass(frozen=True)
class Sheet:
    """What a file of answers holds.

    Attributes:
        separator: Of the cells, `,` or `;`.
        rows: For each row that is not blank, the number of its first line and its cells in the
            order of `COLUMNS`, or None where their number is not that of the columns.
        unit: What the rows' numbers count.
    """

    separator: str
    rows: tuple[tuple[int, Cells | None], ...]
    unit: str = "line"


def template(clusters: Clusters) -> str:
    """Return a CSV with one row a question, its verdict still empty."""
    return _text(
        [
            *(cells.protected(key[0]), str(key[1])),
            *("", "", "", ""),
            cells.protected(clusters.memberships[key]),
        ]
        for key in clusters.questions
    )


def export(answers: pa.Table) -> str:
    """Return a CSV of answers that comes back as they are.

    Args:
        answers: Rows of `tables.LABELS` without withdrawn ones.
    """
    names = ("class", "annotator", "note", "membership")
    # Few cells are different ones: each is protected once.
    shown = {
        cell: cells.protected(cell) for n in names for cell in pc.unique(answers[n]).to_pylist()
    }
    # As text in Arrow: the shortest that gives the same number again.
    seconds = pc.fill_null(answers["seconds"].cast(pa.string()), "")
    place = answers.schema.get_field_index("seconds")
    rows = answers.set_column(place, "seconds", seconds)
    columns = [rows[name].to_pylist() for name in COLUMNS]
    return _text(
        [shown[name], str(cluster), verdict, shown[annotator], time, shown[note], shown[membership]]
        for name, cluster, verdict, annotator, time, note, membership in zip(*columns, strict=True)
    )


def _text(rows: Iterable[list[str]]) -> str:
    lines = [list(COLUMNS), *rows]
    # Unquoted, a carriage return would end the line.
    quoted = any("\r" in cell for cells in lines for cell in cells)
    text = io.StringIO(newline="")
    writer = csv.writer(
        text, lineterminator="\n", quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    )
    writer.writerows(lines)
    return text.getvalue()


def read(text: str, source: str) -> Sheet:
    """Split a labels CSV into rows; absent columns give empty cells.

    Args:
        text: The CSV, separated by `,` or `;`, with or without a byte order mark.
        source: Name of the file, for the error.

    Raises:
        LabelError: If the text is not a CSV, or its columns are not those of a labels file.
    """
    text = text.removeprefix("\ufeff")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise LabelError(
            f"{source}: line {line}: holds NUL bytes, so it is no CSV file", "save it as CSV"
        )
    first = text.partition("\n")[0]
    separator = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[tuple[int, Cells | None]] = []
    line = 1
    try:
        header = [cell.strip().lower() for cell in next(reader, [])]
        _check_header(header, source)
        # Absent columns are taken from the empty cell that is put after a row's own.
        cells_of = itemgetter(*(header.index(n) if n in header else -1 for n in COLUMNS))
        line = reader.line_num + 1  # a quoted cell may span lines: a row's first one counts
        for cells in reader:
            if not "".join(cells).isspace() and any(cells):
                fits = len(cells) == len(header)
                rows.append((line, cells_of([*cells, ""]) if fits else None))
            line = reader.line_num + 1
    except csv.Error as error:
        raise LabelError(
            f"{source}: line {line}: not CSV ({error})", "mend the line it names"
        ) from None
    return Sheet(separator, tuple(rows))


def decoded(content: bytes, source: str) -> str:
    """Return the text of a labels CSV.

    Raises:
        LabelError: If it is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise LabelError(
            f"{source}: line {line}: not UTF-8 text (byte {error.start})", "save it as CSV UTF-8"
        ) from None


def _check_header(header: list[str], source: str) -> None:
    missing = [name for name in _REQUIRED if name not in header]
    unknown = [repr(name) for name in header if name not in COLUMNS]
    twice = sorted({name for name in header if header.count(name) > 1})
    problems = [
        f"{what}: {', '.join(names)}"
        for what, names in (("missing", missing), ("unknown", unknown), ("twice", twice))
        if names
    ]
    if problems:
        raise LabelError(
            f"{source}: line 1: not the columns of a labels file ({'; '.join(problems)[:500]})",
            f"the first line must be {','.join(COLUMNS)}; `raypipe labels template` writes it",
        )
