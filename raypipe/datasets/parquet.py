"""Parquet files as the Hugging Face Hub stores images: encoded in a column, labels in another.

root/train-00000-of-00294.parquet    or data/, or train/0000.parquet; the rule is in `splits`
image  struct<bytes: binary, path: string>, or binary
label  a number, a name, or a list of them; numbers are named by the file's own metadata, else by
       root/classes.txt

An image stays in its cell: only labels are read here, and paths where there are no bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raypipe.config import DatasetConfig
from raypipe.datasets.base import ClassRecord, ImageRecord
from raypipe.datasets.beside import beside
from raypipe.datasets.names import ClassNames, class_records, in_order_of_numbers
from raypipe.datasets.parquet_columns import class_names, find_columns
from raypipe.datasets.splits import listed, of_split
from raypipe.errors import InputError
from raypipe.storage.ahead import in_order
from raypipe.storage.blob import cell_uri
from raypipe.storage.location import Location


class Parquet:
    """Images and labels in Parquet files.

    Args:
        config: The dataset's settings; `label_column` chooses where there are several.
        root: The folder, or a single file.

    Raises:
        InputError: If there are no such files, or the first has no column of images.
    """

    def __init__(self, config: DatasetConfig, root: Location) -> None:
        self._folder, self._files = listed(root, (".parquet",), "Parquet files")
        first = self._folder / self._files[0]
        schema = first.retried(lambda: _schema(first))
        self._columns = find_columns(schema, config.label_column, str(first))
        self._names = class_names(schema, self._columns.label, str(first))
        if not self._names.names:
            self._names = ClassNames.read(self._folder)

    def classes(self) -> list[ClassRecord]:
        """Return the classes that the metadata or `classes.txt` lists, else those in the labels.

        Raises:
            InputError: If a file cannot be read.
        """
        if self._names.names:
            return class_records(self._names.names)
        found: set[str] = set()
        for rows in in_order(self._read, self._files, self._folder):
            for labels, _ in rows.groups():
                for number, value in enumerate(labels):
                    found.update(self._classes(value, f"{rows.place}: row {number}"))
        return class_records(in_order_of_numbers(found))

    def images(self, split: str) -> Iterator[ImageRecord]:
        """Yield the rows of a split's files, in order.

        Raises:
            InputError: If there is no such split, a file differs from the first in its columns, or
                a label is none of the classes.
        """
        files = of_split(self._files, split, self._folder)
        for path, rows in zip(files, in_order(self._read, files, self._folder), strict=True):
            stem = path.removesuffix(".parquet")
            row = 0
            for group, (labels, paths) in enumerate(rows.groups()):
                for label, given in zip(labels, paths, strict=True):
                    cell = cell_uri(str(rows.place), row, self._columns.image)
                    yield ImageRecord(
                        image_id=f"{stem}/{row:06d}",
                        uri=beside(rows.place, given) if given else cell,
                        classes=self._classes(label, f"{rows.place}: row {row}"),
                        # A row group is the least of a file that can be read.
                        group=f"{stem}#{group:05d}",
                    )
                    row += 1

    def _classes(self, value: object, source: str) -> tuple[str, ...]:
        values = value if isinstance(value, list) else [value]
        found = (self._names.name(label, source) for label in values)
        return tuple(dict.fromkeys(name for name in found if name is not None))

    def _read(self, path: str) -> _Rows:
        """Read the labels of a file, and the paths of its images if there are no bytes."""
        place = self._folder / path
        return place.retried(lambda: self._rows(place))

    def _rows(self, place: Location) -> _Rows:
        with place.open_parquet() as file:
            found = find_columns(file.schema_arrow, self._columns.label, str(place))
            # A file may lack the paths; only then it differs.
            if replace(found, path=self._columns.path) != self._columns:
                raise InputError(
                    f"{place}: its images are in {found.image!r}, those of the first file in "
                    f"{self._columns.image!r}",
                    "keep files of one kind in a folder",
                )
            sizes = [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]
            empty = [_no_bytes(file, at, found.image) for at in range(file.num_row_groups)]
            columns = [found.label] if found.label else []
            if found.path and any(empty):
                columns.append(found.path)
            table = file.read(columns=columns)
        labels = table[found.label] if found.label else None
        paths = (
            pc.struct_field(table[found.path.removesuffix(".path")], "path")
            if found.path in columns
            else None
        )
        return _Rows(place, sizes, empty, labels, paths)


@dataclass(frozen=True)
class _Rows:
    """What is read of a file: a few bytes a row, still Arrow's.

    Attributes:
        place: The file.
        sizes: Rows of each row group.
        empty: Whether none of a row group's images has bytes.
        labels: A value a row, or None if there are no labels.
        paths: Of the images, or None.
    """

    place: Location
    sizes: list[int]
    empty: list[bool]
    labels: pa.ChunkedArray | None
    paths: pa.ChunkedArray | None

    def groups(self) -> Iterator[tuple[list[Any], list[Any]]]:
        """Yield each row group's labels and, where an image has no bytes, its path."""
        start = 0
        for size, empty in zip(self.sizes, self.empty, strict=True):
            labels, paths = [None] * size, [None] * size
            if self.labels is not None:
                labels = self.labels.slice(start, size).to_pylist()
            if self.paths is not None and empty:
                paths = self.paths.slice(start, size).to_pylist()
            yield labels, paths
            start += size


def _schema(place: Location) -> pa.Schema:
    with place.open_parquet() as file:
        return file.schema_arrow


def _no_bytes(file: pq.ParquetFile, group: int, column: str) -> bool:
    """Whether a row group says that every cell of a column is null; no cell is read for it."""
    facts = file.metadata.row_group(group)
    for at in range(facts.num_columns):
        if facts.column(at).path_in_schema == column:
            found = facts.column(at).statistics
            return bool(found and found.has_null_count and found.null_count == facts.num_rows)
    return False
