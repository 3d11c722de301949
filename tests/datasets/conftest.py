"""The same layouts on the local disk and in an object store."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

from raypipe.storage.location import Location

Stored = Callable[[Path], Location]

_NUMBERS = count()


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """Serve the S3 protocol; return the query that an URI needs to reach it."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    server.stop()


@pytest.fixture(params=["disk", "s3"])
def stored(request, monkeypatch) -> Stored:
    """Put a folder or a file where the test runs: left on disk, or copied into a bucket."""
    if request.param == "disk":
        return lambda path: Location.of(str(path))
    query = request.getfixturevalue("object_store")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def copy(path: Path) -> Location:
        bucket = f"bucket{next(_NUMBERS)}"
        # pyarrow makes buckets only when it is told to.
        maker = fs.FileSystem.from_uri(f"s3://{bucket}?{query}&allow_bucket_creation=true")[0]
        maker.create_dir(bucket)
        base = Location.of(f"s3://{bucket}?{query}")
        files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
        for file in files:
            (base / str(file.relative_to(path.parent))).write_bytes(file.read_bytes())
        return base / path.name

    return copy


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
