"""What answers amount to: which of them count, the majority, and what a group says of a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.annotate.csvfile import Clusters, Key
from raypipe.tables import LABELS, SHARED

VERDICTS = ("object", "distractor", "unsure")

WITHDRAWN = "withdrawn"
"""In place of a verdict: the annotator's earlier answer is taken back and counts for nothing."""

WHO = ("class", "membership", "annotator")
"""Columns of what at most one answer stands for."""

Row = dict[str, Any]
"""A row of `tables.LABELS`."""

Who = tuple[str, str, str]
"""Class, membership and annotator: at most one answer stands for them."""

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def who(row: Row) -> Who:
    """Return what at most one answer can stand for."""
    return row["class"], row["membership"], row["annotator"]


def codes(table: pa.Table, names: Sequence[str]) -> Ints:
    """Number the rows so that rows of the same cells have the same number, from 0 without gaps.

    Args:
        table: n rows.
        names: The columns whose cells count; null equals null.

    Returns:
        (n,) int64.
    """
    code = np.zeros(table.num_rows, dtype=np.int64)
    for name in names:
        chunks = table[name].chunks or [pa.array([], table[name].type)]
        cells = pa.concat_arrays(chunks).dictionary_encode("encode")
        own = cells.indices.to_numpy(zero_copy_only=False)
        _, code = np.unique(code * (len(cells.dictionary) + 1) + own, return_inverse=True)
    return code


def last_rows(log: pa.Table) -> pa.Table:
    """Return each annotator's last row on each cluster that ever was, withdrawals included.

    Args:
        log: Every row, the oldest first.
    """
    return log.take(pa.array(np.sort(_last(codes(log, WHO)))))


def latest(log: pa.Table) -> pa.Table:
    """Return the answer that stands of each annotator on each cluster that ever was.

    Args:
        log: Every row, the oldest first.
    """
    rows = last_rows(log)
    return rows.filter(pc.not_equal(rows["verdict"], WITHDRAWN))


def compared(log: pa.Table, rows: pa.Table) -> tuple[Bools, Bools]:
    """Compare rows with what stands in the log; when, and under which number, is no matter.

    Args:
        log: Every row, the oldest first.
        rows: n rows, one a class, membership and annotator.

    Returns:
        Two of (n,) bool: whether an answer of that annotator stands, and whether the row would
        change anything.
    """
    both = pa.concat_tables([log, rows])
    n, code = log.num_rows, codes(both, WHO)
    before = _last(code[:n], int(code.max(initial=-1)) + 1)[code[n:]]
    content = codes(both, ("verdict", "seconds", "note"))
    withdrawn = pc.equal(both["verdict"], WITHDRAWN).to_numpy()
    stands = (before >= 0) & ~withdrawn[before]
    return stands, np.where(withdrawn[n:], stands, ~(stands & (content[n:] == content[before])))


def current(clusters: Clusters, log: pa.Table) -> pa.Table:
    """Return the answers that count.

    Args:
        clusters: The clusters and groups of now.
        log: Every row, the oldest first.

    Returns:
        Each annotator's latest on what there is now, under the number that it has now; sorted by
        class, cluster and annotator.
    """
    rows = latest(log)
    numbers = numbers_now(clusters, rows)
    place = rows.schema.get_field_index("cluster")
    cells = pa.array(numbers, pa.int32())
    found = rows.set_column(place, rows.schema.field("cluster"), cells)
    return found.filter(pa.array(numbers > 0)).sort_by(
        [(name, "ascending") for name in ("class", "cluster", "annotator")]
    )


def numbers_now(clusters: Clusters, rows: pa.Table) -> Ints:
    """Return the number that each row's cluster has now; 0 if there is none of that membership.

    Args:
        clusters: The clusters and groups of now.
        rows: n rows.

    Returns:
        (n,) int64.
    """
    _, first, code = np.unique(
        codes(rows, ("class", "membership")), return_index=True, return_inverse=True
    )
    shown = rows.select(["class", "membership"]).take(pa.array(first)).to_pylist()
    found = [
        clusters.by_membership.get((row["class"], row["membership"]), ("", 0))[1] for row in shown
    ]
    return np.array(found, dtype=np.int64)[code]


def counts(rows: pa.Table) -> tuple[list[Key], Ints]:
    """Count the votes on whatever was answered.

    Args:
        rows: Answers that count.

    Returns:
        The q questions, and (q, 3) votes for each of `VERDICTS`.
    """
    _, first, code = np.unique(
        codes(rows, ("class", "cluster")), return_index=True, return_inverse=True
    )
    verdict = pc.index_in(rows["verdict"], pa.array(VERDICTS)).to_numpy().astype(np.int64)
    votes = np.bincount(code * len(VERDICTS) + verdict, minlength=len(first) * len(VERDICTS))
    keys = rows.select(["class", "cluster"]).take(pa.array(first)).to_pylist()
    return [(row["class"], row["cluster"]) for row in keys], votes.reshape(-1, len(VERDICTS))


def majorities(rows: pa.Table) -> dict[Key, str]:
    """Return the verdict of most annotators on whatever was answered; ties are unsure.

    Args:
        rows: Answers that count.
    """
    keys, votes = counts(rows)
    most = votes.max(axis=1, initial=0, keepdims=True)
    tied = (votes == most).sum(axis=1) > 1
    verdicts = np.where(tied, "unsure", np.array(VERDICTS)[votes.argmax(axis=1)])
    return dict(zip(keys, verdicts.tolist(), strict=True))


def resolved(clusters: Clusters, given: Mapping[Key, str]) -> dict[Key, str]:
    """Return the verdict on each cluster that has one: its own, or else that of its group.

    Args:
        clusters: The clusters and groups of now.
        given: Verdicts on whatever was answered itself, groups included.
    """
    through = {
        key: given[SHARED, group]
        for key, group in clusters.groups.items()
        if (SHARED, group) in given
    }
    own = {key: verdict for key, verdict in given.items() if key[0] != SHARED}
    return through | own


def withdrawn(rows: pa.Table) -> pa.Table:
    """Return rows that take answers back."""
    cells = {
        "verdict": pa.repeat(WITHDRAWN, rows.num_rows),
        "seconds": pa.nulls(rows.num_rows, pa.float32()),
        "note": pa.repeat("", rows.num_rows),
    }
    for name, column in cells.items():
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, LABELS.schema.field(name), column)
    return undated(rows)


def undated(rows: pa.Table) -> pa.Table:
    """Forget when the rows were recorded: they are recorded now."""
    field = LABELS.schema.field("at")
    place = rows.schema.get_field_index("at")
    return rows.set_column(place, field, pa.nulls(rows.num_rows, field.type))


def _last(code: Ints, size: int | None = None) -> Ints:
    """Return the last row of each number; -1 where there is none."""
    last = np.full(int(code.max(initial=-1)) + 1 if size is None else size, -1, dtype=np.int64)
    last[code] = np.arange(len(code))  # of repeated places NumPy keeps the last one
    return last
