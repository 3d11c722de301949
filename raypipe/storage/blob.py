"""Encoded images wherever they lie: a file, a range of bytes in a file, a cell of a Parquet file.

An image's URI in the index says which: `photos/a.jpg`, `train.tar#offset=1536&size=110234`,
`part-0.parquet#row=17&column=image.bytes`.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from raypipe.storage.location import Location

_RANGE = re.compile(r"(.+)#offset=(\d+)&size=(\d+)", re.DOTALL)
_CELL = re.compile(r"(.+)#row=(\d+)&column=([^&#]+)", re.DOTALL)


def range_uri(file: str, offset: int, size: int) -> str:
    """Return the URI of a range of bytes in a file."""
    return f"{file}#offset={offset}&size={size}"


def cell_uri(file: str, row: int, column: str) -> str:
    """Return the URI of the bytes in one row of a Parquet file's column, as `image.bytes`."""
    return f"{file}#row={row}&column={quote(column)}"


def read_blob(uri: str) -> bytes:
    """Return the bytes that a URI names.

    Raises:
        InputError: If they cannot be read.
    """
    if found := _RANGE.fullmatch(uri):
        with Location.of(found[1]).open() as file:
            file.seek(int(found[2]))
            return file.read(int(found[3]))
    if found := _CELL.fullmatch(uri):
        raise NotImplementedError(unquote(found[3]))
    return Location.of(uri).read_bytes()
