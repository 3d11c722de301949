"""A list of images and their classes: a CSV or Parquet file, which is itself the dataset's root.

uri        path or URI of the image; a relative one is looked for beside the list
class      its label, empty if it has none; an image with several labels has a row for each
image_id   name of the image, where it shall be another than its `uri`
split      where the list holds several

Other columns are not looked at.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from raypipe.config import DatasetConfig
from raypipe.datasets.base import ClassRecord, ImageRecord
from raypipe.datasets.beside import beside
from raypipe.datasets.names import class_records, in_order_of_numbers
from raypipe.datasets.splits import canonical
from raypipe.errors import InputError
from raypipe.storage.location import Location

_NEEDED, _OPTIONAL = ("uri", "class"), ("image_id", "split")
_BUFFER = 1 << 20  # bytes read at a time: the list is read from end to end
_ROWS = 10_000  # rows of a Parquet file at a time


class Manifest:
    """Images that a file lists.

    Args:
        config: The dataset's settings.
        root: The file, `.csv` or `.parquet`.

    Raises:
        InputError: If it is not there, or of another kind.
    """

    def __init__(self, config: DatasetConfig, root: Location) -> None:
        del config
        readers: dict[str, Callable[[Location], Iterator[_Row]]] = {
            "csv": _csv_rows, "parquet": _parquet_rows,
        }  # fmt: skip
        kind = root.name.rpartition(".")[2].lower()
        if kind not in readers:
            raise InputError(
                f"{root}: neither a .csv nor a .parquet file",
                "--root of a manifest is the file itself",
            )
        self._file, self._read = root, readers[kind]

    def classes(self) -> list[ClassRecord]:
        """Return the classes in the list, sorted, over all splits.

        Raises:
            InputError: If a row is broken.
        """
        return class_records(in_order_of_numbers({row.name for row in self._rows() if row.name}))

    def images(self, split: str) -> Iterator[ImageRecord]:
        """Yield the rows of a split; without a column `split` every split is the whole list.

        Raises:
            InputError: If no row is of the split, or a row is broken.
        """
        wanted, seen = canonical(split), set[str]()
        for row in self._rows():
            if row.split is not None:
                seen.add(row.split)
                if canonical(row.split) != wanted:
                    continue
            labels = (row.name,) if row.name else ()
            yield ImageRecord(row.image_id or row.uri, beside(self._file, row.uri), labels)
        if seen and wanted not in map(canonical, seen):
            raise InputError(
                f"{self._file}: no split {split!r}", f"--split is one of {', '.join(sorted(seen))}"
            )

    def _rows(self) -> Iterator[_Row]:
        return self._read(self._file)


@dataclass(frozen=True)
class _Row:
    uri: str
    name: str
    image_id: str
    split: str | None


def _row(values: dict[str, str], where: str) -> _Row:
    """Return a row of the list.

    Raises:
        InputError: If it names no image, or no split where there are several.
    """
    for column in ("uri", "split"):
        if values.get(column) == "":
            raise InputError(f"{where}: its {column} is empty", "fill it in, or remove the row")
    return _Row(values["uri"], values["class"], values.get("image_id", ""), values.get("split"))


def _columns(names: Sequence[str], file: Location) -> list[str]:
    """Return the columns to read.

    Raises:
        InputError: If one is missing.
    """
    for name in _NEEDED:
        if name not in names:
            raise InputError(
                f"{file}: no column {name!r} among {', '.join(names) or 'none'}",
                "a CSV file begins with the line `uri,class`, a Parquet file has these columns",
            )
    return [name for name in names if name in (*_NEEDED, *_OPTIONAL)]


def _csv_rows(file: Location) -> Iterator[_Row]:
    with file.open() as raw:
        buffered = io.BufferedReader(raw, _BUFFER)
        lines = csv.reader(
            io.TextIOWrapper(buffered, encoding="utf-8-sig", newline=""), strict=True
        )
        try:
            header = [name.strip() for name in next(lines, [])]
            places = [(name, header.index(name)) for name in _columns(header, file)]
            for fields in lines:
                where = f"{file}: line {lines.line_num}"
                if not fields:
                    continue
                if len(fields) != len(header):
                    raise InputError(
                        f"{where}: {len(fields)} fields where the header has {len(header)}",
                        'mend it; a field with a comma in it is written "like, this"',
                    )
                yield _row({name: fields[at].strip() for name, at in places}, where)
        except csv.Error as error:
            raise InputError(f"{file}: line {lines.line_num}: {error}", "mend it") from None
        except UnicodeDecodeError:
            raise InputError(
                f"{file}: not UTF-8 text after line {lines.line_num}", "save it as UTF-8"
            ) from None


def _parquet_rows(file: Location) -> Iterator[_Row]:
    row = 0
    with file.open_parquet() as table:
        columns = _columns(table.schema_arrow.names, file)
        for batch in table.iter_batches(_ROWS, columns=columns):
            for values in batch.to_pylist():
                row += 1
                words = {name: str("" if cell is None else cell) for name, cell in values.items()}
                yield _row(words, f"{file}: row {row}")
