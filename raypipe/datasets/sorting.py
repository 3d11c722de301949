"""Sorting any number of image records in little memory, and joining those of one image."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from raypipe.datasets.base import Box, ImageRecord
from raypipe.errors import InputError

_CACHE_KIB = 65536  # SQLite's page cache: 64 MiB

_SCHEMA = f"""
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -{_CACHE_KIB};
PRAGMA temp_store = FILE;
CREATE TABLE record (image_id TEXT UNIQUE NOT NULL, place TEXT NOT NULL, content TEXT NOT NULL);
"""


class RecordSorter:
    """Takes records in any order; yields them by group, then by name. A SQLite file sorts them.

    A record is *of a group* by its `group`, or else by its first label. An image that comes again
    with the same URI adds its labels: lists with a line for each label are common.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="raypipe-index-")
        self._base = sqlite3.connect(Path(self._folder.name) / "records.sqlite")
        self._base.executescript(_SCHEMA)
        self._count = 0

    def __enter__(self) -> RecordSorter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._base.close()
        self._folder.cleanup()

    def __len__(self) -> int:
        return self._count

    def add(self, record: ImageRecord) -> None:
        """Take a record.

        Raises:
            InputError: If its name came before with another URI.
        """
        found = self._base.execute(
            "INSERT OR IGNORE INTO record VALUES (?, ?, ?)",
            (record.image_id, _place(record), encoded(record)),
        )
        if found.rowcount:
            self._count += 1
            return
        own = self._base.execute(
            "SELECT content FROM record WHERE image_id = ?", (record.image_id,)
        ).fetchone()
        joined = _joined(_record(own[0]), record)
        self._base.execute(
            "UPDATE record SET place = ?, content = ? WHERE image_id = ?",
            (_place(joined), encoded(joined), record.image_id),
        )

    @property
    def sizes(self) -> dict[str, int]:
        """Records of each group; read it when all are added."""
        return dict(self._base.execute("SELECT place, COUNT(*) FROM record GROUP BY place"))

    def __iter__(self) -> Iterator[tuple[str, ImageRecord]]:
        """Yield each record with its group."""
        rows = self._base.execute("SELECT place, content FROM record ORDER BY place, image_id")
        for place, content in rows:
            yield place, _record(content)


def _place(record: ImageRecord) -> str:
    return record.group or "".join(record.classes[:1])


def encoded(record: ImageRecord) -> str:
    """Return a record as JSON; `dataclasses.astuple` copies deeply, at three times the cost."""
    boxes = [list(vars(box).values()) for box in record.boxes]
    return json.dumps(
        [record.image_id, record.uri, record.classes, boxes, record.mask_uri, record.group]
    )


def _record(content: str) -> ImageRecord:
    """Return the record that was stored as JSON."""
    image_id, uri, classes, boxes, mask_uri, group = json.loads(content)
    return ImageRecord(
        image_id, uri, tuple(classes), tuple(Box(*box) for box in boxes), mask_uri, group
    )


def _joined(record: ImageRecord, again: ImageRecord) -> ImageRecord:
    if record.uri != again.uri:
        raise InputError(
            f"{record.image_id}: listed twice, as {record.uri} and as {again.uri}",
            "give the images names of their own",
        )
    return replace(
        record,
        classes=tuple(dict.fromkeys((*record.classes, *again.classes))),
        boxes=tuple(dict.fromkeys((*record.boxes, *again.boxes))),
    )
