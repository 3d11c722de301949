"""The log of answers on disk: entries that are appended, and never changed.

An entry is what was recorded at once: an ingest, a merge, an undo, or the one answer of a page. A
file holds one, or, once small files were put together, many; which ones stands in the metadata of
its schema, so the order of all entries, and what each of them was, stay as they were.
"""

from __future__ import annotations

import contextlib
import json
import re
import uuid
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.errors import InputError, MissingError
from raypipe.storage.location import Location
from raypipe.storage.run import Run
from raypipe.tables import LABELS

_FOLDER = "labels"
_FILE = re.compile(r"\d{5,}-[0-9a-f]{12}\.parquet")
_ENTRIES = b"raypipe.entries"
_THREADS = 16  # an object store answers as many requests at a time in the time of one
_LOOSE = 256  # entries after which files are put together, since each costs a request
_LARGE = 20_000  # rows; a file of more is not written again
_ATTEMPTS = 5  # listings, while others put files together

Result = TypeVar("Result")


@dataclass(frozen=True)
class Entry:
    """What was recorded at once.

    Attributes:
        name: A number, a hyphen, and twelve digits that tell apart what was written at once; the
            order of the names is the order of time.
        kind: `ingest`, `answer`, `simulate`, `merge` or `undo`.
        source: Name of the file that it came from; empty if from none.
        undoes: Name of the entry that it takes back; empty for all kinds but `undo`.
        rows: Number of its rows.
        start: Its first row in the table of the log.
    """

    name: str
    kind: str
    source: str
    undoes: str
    rows: int
    start: int = 0

    @property
    def number(self) -> int:
        """Its number; two entries that were written at the same time may share one."""
        return int(self.name.partition("-")[0])


@dataclass(frozen=True)
class Log:
    """Everything that was recorded.

    Attributes:
        table: Rows of `tables.LABELS`, the oldest first.
        entries: What they were recorded as, in the same order.
    """

    table: pa.Table
    entries: tuple[Entry, ...]

    def rows(self, entry: Entry) -> pa.Table:
        """Return the rows of one entry."""
        return self.table.slice(entry.start, entry.rows)

    def without(self, names: Collection[str]) -> pa.Table:
        """Return the rows of all entries but some."""
        kept = np.ones(self.table.num_rows, dtype=bool)
        for entry in self.entries:
            if entry.name in names:
                kept[entry.start : entry.start + entry.rows] = False
        return self.table.filter(pa.array(kept))


def read(run: Run) -> Log:
    """Return the log of a run.

    Raises:
        InputError: If one of its files is damaged.
    """
    return _ordered(list(_files(run).values()))


def append(run: Run, rows: pa.Table, *, kind: str, source: str = "", undoes: str = "") -> str:
    """Write one entry, whole or not at all; return the name of its file.

    Args:
        run: The run.
        rows: Rows of `tables.LABELS`; where `at` is null, it becomes now.
        kind: As `Entry.kind`.
        source: As `Entry.source`.
        undoes: As `Entry.undoes`.
    """
    names = _names(run)
    entry = Entry(_new_name(names), kind, source, undoes, rows.num_rows)
    name = _write(run, entry.name, _stamped(rows), [entry])
    if entry.number % _LOOSE == 0:
        with contextlib.suppress(InputError):  # the answers are saved: this is for speed alone
            compact(run)
    return name


def compact(run: Run) -> int:
    """Put the small files of the log together; what counts, and the history, stay as they are.

    The new file is whole before the first old one goes. An entry that is in both is read once, so
    a process that ends in between changes nothing, and neither do others that write meanwhile.

    Returns:
        Number of files that became one; 0 if there was nothing to do.

    Raises:
        InputError: If one of the files is damaged.
    """
    small = {name: rows for name, rows in _files(run).items() if rows.num_rows <= _LARGE}
    if len(small) < 2:
        return 0
    log = _ordered(list(small.values()))
    # The number of the last one: the next entry's is counted from the names of the files.
    last = log.entries[-1].name.partition("-")[0]
    _write(run, f"{last}-{uuid.uuid4().hex[:12]}", log.table, log.entries)
    _each(lambda name: _delete(run, name), small)
    return len(small)


def _delete(run: Run, name: str) -> None:
    with contextlib.suppress(MissingError):  # another that puts files together was faster
        (run.step(_FOLDER) / name).delete()


def _stamped(rows: pa.Table) -> pa.Table:
    """Fill in the time, and trim names and notes as a CSV's are: they come back as they were."""
    now = pa.scalar(datetime.now(UTC), LABELS.schema.field("at").type)
    cells = {"at": pc.fill_null(rows["at"], now)}
    for name in ("annotator", "note"):
        plain = pc.replace_substring(rows[name], "\0", "")  # no CSV can hold it
        cells[name] = pc.utf8_trim_whitespace(plain)
    for name, column in cells.items():
        field = LABELS.schema.field(name)
        rows = rows.set_column(rows.schema.get_field_index(name), field, column)
    return rows


def _write(run: Run, name: str, rows: pa.Table, entries: Iterable[Entry]) -> str:
    place = run.step(_FOLDER) / f"{name}.parquet"
    facts = [[item.name, item.kind, item.source, item.undoes, item.rows] for item in entries]
    table = LABELS.check(rows, str(place))
    place.write_table(table.replace_schema_metadata({_ENTRIES: json.dumps(facts)}))
    return place.name


def _new_name(names: list[str]) -> str:
    number = max((int(name.split("-")[0]) for name in names), default=0) + 1
    # Random, for two may write at once: neither replaces the other's file.
    return f"{number:05d}-{uuid.uuid4().hex[:12]}"


def _names(run: Run) -> list[str]:
    return [name for name in run.step(_FOLDER).names() if _FILE.fullmatch(name)]


def _files(run: Run) -> dict[str, pa.Table]:
    """Return the rows of every file by its name, with the entries in the schema's metadata."""
    for _ in range(_ATTEMPTS):
        names = _names(run)
        try:
            return dict(zip(names, _each(lambda name: _file(run, name), names), strict=True))
        except MissingError:  # another put the files together: what it held is in a new one
            continue
    names = _names(run)
    return dict(zip(names, _each(lambda name: _file(run, name), names), strict=True))


def _file(run: Run, name: str) -> pa.Table:
    place: Location = run.step(_FOLDER) / name
    rows = place.read_table()
    # Up to version 2 an answer named all clusters of its class; it is kept, as a stale one.
    if "membership" not in rows.column_names and "clustering" in rows.column_names:
        rows = rows.rename_columns({"clustering": "membership"})
    if "at" not in rows.column_names:
        rows = rows.append_column("at", pa.nulls(len(rows), LABELS.schema.field("at").type))
    facts = (rows.schema.metadata or {}).get(_ENTRIES)
    if facts is None:
        facts = json.dumps([[place.name.removesuffix(".parquet"), "ingest", "", "", len(rows)]])
    return LABELS.check(rows, str(place)).replace_schema_metadata({_ENTRIES: facts})


def _each(task: Callable[[str], Result], names: Iterable[str]) -> list[Result]:
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(task, names))


def _ordered(files: list[pa.Table]) -> Log:
    """Put the entries of files in order; one that is in several counts once."""
    found: dict[str, Entry] = {}
    start = 0
    for rows in files:
        for name, kind, source, undoes, count in json.loads(rows.schema.metadata[_ENTRIES]):
            found[name] = Entry(name, kind, source, undoes, count, start)
            start += count
    entries = sorted(found.values(), key=lambda entry: (entry.number, entry.name))
    places = [np.arange(entry.start, entry.start + entry.rows) for entry in entries]
    table = pa.concat_tables([LABELS.build([]), *files]).replace_schema_metadata(None)
    if places:
        order = np.concatenate(places)
        if len(order) < table.num_rows or (np.diff(order) < 0).any():
            table = table.take(pa.array(order))
    starts = np.cumsum([0, *(entry.rows for entry in entries)])
    return Log(
        table.combine_chunks(),
        tuple(
            replace(entry, start=int(at)) for entry, at in zip(entries, starts[:-1], strict=True)
        ),
    )
