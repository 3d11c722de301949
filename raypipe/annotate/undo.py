"""What was recorded, and taking it back: by appending what stood before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.annotate import log, votes
from raypipe.annotate.log import Entry, Log
from raypipe.errors import LabelError
from raypipe.storage.run import Run


@dataclass(frozen=True)
class Record:
    """What was recorded at once, or answers of the page that came one after the other.

    Attributes:
        number: What `undo` takes; its whole name where several bear the number, and the first and
            the last number of answers in a row.
        at: When, of the last row; None in files of an older raypipe.
        kind: As `log.Entry.kind`.
        source: Name of the file it came from; empty if from none.
        annotators: Who answered, sorted.
        answers: Its rows, withdrawals included.
        undoes: Number of what it takes back; None for all kinds but `undo`.
        undone: Whether it was taken back since.
    """

    number: str
    at: datetime | None
    kind: str
    source: str
    annotators: tuple[str, ...]
    answers: int
    undoes: int | None
    undone: bool


@dataclass(frozen=True)
class Undone:
    """What an undo did.

    Attributes:
        name: The entry that was taken back.
        restored: Answers that stand again as they did before it.
        withdrawn: Answers that had none before, and have none now.
        kept: Answers of the entry that later ones had replaced already; they are left alone.
    """

    name: str
    restored: int
    withdrawn: int
    kept: int


def records(run: Run) -> list[Record]:
    """Return what was recorded, the oldest first.

    Raises:
        InputError: If a file of the log is damaged.
    """
    found = log.read(run)
    return [_record(found, group) for group in _groups(found)]


def _groups(found: Log) -> Iterator[list[Entry]]:
    """Yield each entry, and answers of the page that follow one another together."""
    gone = {item.undoes for item in found.entries}
    for plain, group in groupby(
        found.entries, key=lambda item: item.kind == "answer" and item.name not in gone
    ):
        if plain:
            yield list(group)
        else:
            yield from ([item] for item in group)


def _record(found: Log, entries: list[Entry]) -> Record:
    first, last = entries[0], entries[-1]
    numbers = [item.number for item in found.entries]
    rows = found.table.slice(first.start, last.start + last.rows - first.start)
    number = str(first.number) if numbers.count(first.number) == 1 else first.name
    undoes = int(first.undoes.partition("-")[0]) if first.undoes else None
    return Record(
        number if first is last else f"{first.number}–{last.number}",
        pc.max(rows["at"]).as_py(),
        first.kind,
        first.source,
        tuple(sorted(pc.unique(rows["annotator"]).to_pylist())),
        rows.num_rows,
        undoes,
        any(item.undoes == first.name for item in found.entries),
    )


def undo(run: Run, number: str | None = None) -> Undone:
    """Take back what was recorded at once: what stood before stands again.

    Answers of the entry that were replaced since are left alone.

    Args:
        run: The run.
        number: The entry's number, or its whole name where several bear that number; the latest
            that is neither one answer of a page nor an undo by default.

    Raises:
        LabelError: If there is no such entry, or taking it back changes nothing.
        InputError: If a file of the log is damaged.
    """
    found = log.read(run)
    entry = _entry(found, number)
    gone = {item.undoes: item for item in found.entries if item.undoes}
    if entry.name in gone:
        raise LabelError(
            f"{entry.number} is taken back already, by {gone[entry.name].number}",
            "`raypipe labels log` lists what stands; ingest the file again to have it back",
        )
    # Entries that were taken back count no more, nor do the rows that took them back.
    off = {item.name for item in found.entries if item.undoes} | set(gone)
    before = _of_entry(found.without(off | {entry.name}), found.rows(entry))
    _, changes = votes.compared(found.table, before)
    rows = before.filter(pa.array(changes))
    if not rows.num_rows:
        raise LabelError(
            f"taking {entry.number} back changes nothing: other entries say the same, or replaced "
            "its answers since",
            "`raypipe labels log` lists what was recorded since",
        )
    log.append(run, votes.undated(rows), kind="undo", undoes=entry.name)
    withdrawn = pc.sum(pc.equal(rows["verdict"], votes.WITHDRAWN)).as_py()
    kept = before.num_rows - rows.num_rows
    return Undone(entry.name, rows.num_rows - withdrawn, withdrawn, kept)


def _entry(found: Log, number: str | None) -> Entry:
    if number is None:
        whole = [item for item in found.entries if item.kind not in {"answer", "undo"}]
        if not whole:
            raise LabelError(
                "nothing was ingested or merged, so there is nothing to take back",
                "answers of the page are taken back there",
            )
        return whole[-1]
    named = [item for item in found.entries if number in {str(item.number), item.name}]
    if not named:
        raise LabelError(f"there is no entry {number}", "`raypipe labels log` lists them")
    if len(named) > 1:
        names = ", ".join(item.name for item in named)
        raise LabelError(f"{number} is the number of several entries", f"name one: {names}")
    if named[0].undoes:
        raise LabelError(
            f"{number} is an undo, and cannot be taken back itself",
            "ingest the file again, or merge again",
        )
    return named[0]


def _of_entry(rest: pa.Table, rows: pa.Table) -> pa.Table:
    """Return what stands without an entry where it has rows: an earlier answer, or none."""
    # A withdrawal below everything else: it is what remains where the rest says nothing.
    nothing = votes.withdrawn(rows)
    both = votes.last_rows(pa.concat_tables([nothing, rest]))
    inside = votes.codes(pa.concat_tables([nothing, both]), votes.WHO)
    kept = pc.is_in(pa.array(inside[nothing.num_rows :]), pa.array(inside[: nothing.num_rows]))
    return both.filter(kept)
