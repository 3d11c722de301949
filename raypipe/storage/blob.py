"""Encoded images wherever they lie: a file, a range of bytes in a file, a cell of a Parquet file.

An image's URI in the index says which: `photos/a.jpg`, `train.tar#offset=1536&size=110234`,
`part-0.parquet#row=17&column=image.bytes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raypipe.errors import InputError, MissingError, StoreError
from raypipe.storage.ahead import in_order
from raypipe.storage.location import Location

_RANGE = re.compile(r"(.+)#offset=(\d+)&size=(\d+)", re.DOTALL)
_CELL = re.compile(r"(.+)#row=(\d+)&column=([^&#]+)", re.DOTALL)

_GAP = 1 << 16
"""Bytes between two ranges of a file that cost less to read than a request of their own."""

_SPAN = 4 << 20
"""Bytes read of a file at a time: 40 of ILSVRC's images, a fortieth of the requests."""

Blob = bytes | MissingError
"""An image's bytes, or why they are not there."""


def range_uri(file: str, offset: int, size: int) -> str:
    """Return the URI of a range of bytes in a file."""
    return f"{file}#offset={offset}&size={size}"


def cell_uri(file: str, row: int, column: str) -> str:
    """Return the URI of the bytes in one row of a Parquet file's column, as `image.bytes`."""
    return f"{file}#row={row}&column={quote(column)}"


def read_order(uri: str) -> tuple[str, int]:
    """Return what to sort images by, so that neighbours in a file come together."""
    read = _parsed(uri)
    return read.file, read.places[0][0] if read.places else 0


def read_blob(uri: str) -> bytes:
    """Return the bytes that a URI names.

    Raises:
        MissingError: If they are not there.
        StoreError: If their store cannot be reached or refuses.
    """
    (found,) = read_blobs([uri])
    if isinstance(found, MissingError):
        raise found
    return found


def read_blobs(uris: Sequence[str]) -> Iterator[Blob]:
    """Yield the bytes that URIs name, in their order.

    Neighbours in a file are read together; remote files are read a few requests ahead.

    Args:
        uris: URIs of images; those that lie together in a file should stand together.

    Raises:
        StoreError: If a store cannot be reached or refuses; the fault is not the image's.
    """
    reads = list(_planned(uris))
    if not reads:
        return
    for blobs in in_order(_Read.blobs, reads, _place(reads)):
        yield from blobs


def _place(reads: Sequence[_Read]) -> Location:
    """Return where there is something to read, a remote place before a local one."""
    for read in sorted(reads, key=lambda read: "://" not in read.file):
        try:
            return Location.of(read.file)
        except StoreError:
            raise
        except InputError:
            continue  # a URI that cannot be meant is found missing when its turn comes
    return Location.of(".")


@dataclass(frozen=True)
class _Read:
    """Images that are read at once.

    Attributes:
        file: Where they lie.
        column: Of a Parquet file; empty for ranges and whole files.
        places: Offset and size of each, or row and 0; none for a whole file.
    """

    file: str
    column: str = ""
    places: tuple[tuple[int, int], ...] = ()

    def blobs(self) -> list[Blob]:
        """Read them."""
        try:
            place = Location.of(self.file)
            if self.column:
                rows = [row for row, _ in self.places]
                return place.retried(lambda: _cells(place, self.column, rows))
            if self.places:
                return _ranges(place, self.places)
            return [place.read_bytes()]
        except StoreError:
            raise
        except InputError as error:
            # Whatever else is wrong is wrong with the one file.
            found = MissingError(error.message, error.remedy)
            return [found] * max(len(self.places), 1)

    def takes(self, other: _Read) -> bool:
        """Whether another read can join this one."""
        if not self.places or (self.file, self.column) != (other.file, other.column):
            return False
        if self.column:
            return True
        first, (last, size), (offset, length) = self.places[0][0], self.places[-1], other.places[0]
        return 0 <= offset - last - size <= _GAP and offset + length - first <= _SPAN

    def joined(self, other: _Read) -> _Read:
        """Return both as one."""
        return _Read(self.file, self.column, self.places + other.places)


def _planned(uris: Sequence[str]) -> Iterator[_Read]:
    """Yield what to read, in the order of the URIs."""
    last: _Read | None = None
    for uri in uris:
        read = _parsed(uri)
        if last is not None and last.takes(read):
            last = last.joined(read)
            continue
        if last is not None:
            yield last
        last = read
    if last is not None:
        yield last


def _parsed(uri: str) -> _Read:
    if found := _RANGE.fullmatch(uri):
        return _Read(found[1], places=((int(found[2]), int(found[3])),))
    if found := _CELL.fullmatch(uri):
        return _Read(found[1], unquote(found[3]), ((int(found[2]), 0),))
    return _Read(uri)


def _ranges(place: Location, places: Sequence[tuple[int, int]]) -> list[Blob]:
    """Return ranges that lie close together; one that the file's end cuts is missing."""
    start = places[0][0]
    content = place.read_range(start, places[-1][0] + places[-1][1] - start)
    found: list[Blob] = []
    for offset, size in places:
        blob = content[offset - start : offset - start + size]
        short = MissingError(f"{place}: ends before byte {offset + size}", "copy it again")
        found.append(blob if len(blob) == size else short)
    return found


def _cells(place: Location, column: str, rows: Sequence[int]) -> list[Blob]:
    """Return cells of a column; only the row groups that hold them are read."""
    found: dict[int, Blob] = {}
    with place.open_parquet() as file:
        if column.partition(".")[0] not in file.schema_arrow.names:
            raise MissingError(f"{place}: has no column {column!r} any more", "index it again")
        first = 0
        for group in range(file.num_row_groups):
            after = first + file.metadata.row_group(group).num_rows
            wanted = [row for row in rows if first <= row < after]
            if wanted:
                values = _values(file, group, column)
                taken = values.take(pa.array([row - first for row in wanted])).to_pylist()
                found |= {
                    row: MissingError(f"{place}: row {row} holds no bytes", "")
                    if value is None else value
                    for row, value in zip(wanted, taken, strict=True)
                }  # fmt: skip
            first = after
    gone = MissingError(f"{place}: the file has fewer rows than it had", "index it again")
    return [found.get(row, gone) for row in rows]


def _values(file: pq.ParquetFile, group: int, column: str) -> pa.ChunkedArray:
    """Return a column of a row group; a path leads into structs."""
    name, *fields = column.split(".")
    values = file.read_row_group(group, columns=[column])[name]
    for field in fields:
        values = pc.struct_field(values, field)
    return values
