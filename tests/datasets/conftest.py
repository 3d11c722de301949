"""The same layouts on the local disk and in an object store."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from raypipe.storage.location import Location

Stored = Callable[[Path], Location]


@pytest.fixture(params=["disk", "s3"])
def stored(request) -> Stored:
    """Put a folder or a file where the test runs: left on disk, or copied into a bucket."""
    if request.param == "disk":
        return lambda path: Location.of(str(path))
    store = request.getfixturevalue("s3")
    return lambda path: Location.of(store.uri(store.upload(path)))


def tar_of(*members: tuple[str, bytes] | tarfile.TarInfo, kind: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar of files, or of members without content."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            tar.addfile(info, io.BytesIO(member[1]))
    return stream.getvalue()
