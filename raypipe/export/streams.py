"""Writing a file piece by piece to any place, so that nobody ever sees a part of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import uuid4

import pyarrow as pa

from raypipe.errors import StoreError
from raypipe.storage.location import Location


@contextmanager
def streamed(place: Location) -> Iterator[IO[bytes]]:
    """Open a temporary file that takes its place once it is complete.

    On disk it is renamed; for a bucket it is mapped, not read, and put in one request.

    Raises:
        InputError: If it cannot be written.
    """
    if not place.is_local:
        with tempfile.NamedTemporaryFile(prefix="raypipe-") as file:
            yield file
            file.flush()
            with pa.memory_map(file.name) as content:
                place.write_bytes(content.read_buffer())
        return
    temporary = Path(place.path).with_name(f".{place.name}.{uuid4().hex[:8]}.tmp")
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(place.path)
    except OSError as error:
        raise StoreError(
            f"{place}: cannot be written ({error.strerror or error})", "check the path and its disk"
        ) from None
    finally:
        with suppress(OSError):  # it may be that there is no such folder
            temporary.unlink(missing_ok=True)
