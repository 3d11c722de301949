"""A place on any pyarrow filesystem: local disk, S3, GCS, HDFS, by path or URI."""

from __future__ import annotations

import contextlib
import io
import os
import posixpath
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from raypipe.errors import InputError, MissingError, RaypipeError, StoreError
from raypipe.storage import s3, s3_errors

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Result = TypeVar("Result")

_PLAIN = "/!$&'()*+,;=:@~"  # what a URI's path may hold as it is (RFC 3986)

_BUFFER = 4096
"""Bytes read ahead in an opened file: enough for a tar member's header and the next one's."""

_AGAIN = 3
"""Times that a read is tried again whose answer pyarrow lost; boto3 waits in between."""


@dataclass(frozen=True)
class Location:
    """A path on a filesystem; `/` goes down. Can be pickled and sent to another process.

    Attributes:
        filesystem: The pyarrow filesystem.
        path: Path on it, without a scheme.
        scheme: What stands before the path in a URI; empty for the local disk.
        query: What stands behind it, such as the endpoint of a store other than AWS.
    """

    filesystem: fs.FileSystem
    path: str
    scheme: str = ""
    query: str = ""

    @classmethod
    def of(cls, uri: str) -> Location:
        """Resolve a path (relative ones against the working directory) or a URI.

        Raises:
            InputError: If the scheme is unknown or the URI is malformed.
        """
        if "://" not in uri:
            return cls(fs.LocalFileSystem(), str(Path(uri).expanduser().absolute()))
        if uri.startswith("s3://"):
            path, options = s3.parse(uri)
            bucket = path.partition("/")[0]
            return cls(s3.filesystem(options, bucket), path, "s3", options.query())
        try:
            filesystem, path = fs.FileSystem.from_uri(uri)
        except (pa.ArrowInvalid, OSError, ValueError) as error:
            raise InputError(
                f"{uri}: cannot be opened ({error})",
                "use a path, or a URI such as s3://bucket/prefix",
            ) from None
        if isinstance(filesystem, fs.LocalFileSystem):
            return cls(filesystem, path)
        return cls(filesystem, path, uri.split("://", 1)[0], uri.partition("?")[2])

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        # An S3 filesystem would take credentials along; each machine finds its own.
        if self._is_s3:
            return Location.of, (str(self),)
        return Location, (self.filesystem, self.path, self.scheme, self.query)

    def __truediv__(self, name: str) -> Location:
        return replace(self, path=posixpath.join(self.path, name))

    def __str__(self) -> str:
        if not self.scheme:
            return self.path
        # Tables keep URIs: quoted and with the endpoint, `of` finds the same place again.
        query = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{quote(self.path, safe=_PLAIN)}{query}"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self.path.rstrip("/"))

    @property
    def is_local(self) -> bool:
        """Whether ordinary file functions can open the path."""
        return isinstance(self.filesystem, fs.LocalFileSystem)

    @property
    def _is_s3(self) -> bool:
        return isinstance(self.filesystem, fs.S3FileSystem)

    @property
    def _options(self) -> s3.S3Options:
        return s3.S3Options.of_query(self.query, str(self))

    def exists(self) -> bool:
        """Whether a file or a directory is there."""
        return bool(self._info().type != fs.FileType.NotFound)

    def is_dir(self) -> bool:
        """Whether a directory is there (on object stores: anything below the prefix)."""
        return bool(self._info().type == fs.FileType.Directory)

    def _info(self) -> fs.FileInfo:
        with _explained(self, "looked up"):
            return self.filesystem.get_file_info(self.path)

    def entries(self, *, recursive: bool = False) -> list[fs.FileInfo]:
        """Return what lies below, sorted by path; nothing if the directory is not there."""
        with _explained(self, "listed"):
            if self._is_s3 and not recursive:
                found = list(s3.children(self._options, self.path))
            else:
                selector = fs.FileSelector(self.path, recursive=recursive, allow_not_found=True)
                found = self.filesystem.get_file_info(selector)
        return sorted(found, key=lambda info: info.path)

    def files(self) -> Iterator[str]:
        """Yield the path below here of every file at any depth, folder by folder, as found."""
        depth = len(self.path.rstrip("/")) + 1
        with _explained(self, "listed"):
            found = s3.descendants(self._options, self.path) if self._is_s3 else _descendants(self)
            yield from (info.path[depth:] for info in found)

    def open(self) -> io.BufferedReader:
        """Open the file for reading here and there; the caller closes it.

        Raises:
            InputError: If it cannot be opened.
        """
        with _explained(self, "read"):
            file = self.filesystem.open_input_file(self.path)
        return io.BufferedReader(_Raw(self, file), _BUFFER)

    def names(self) -> list[str]:
        """Return the names of the files directly below, sorted."""
        return [info.base_name for info in self.entries() if info.type == fs.FileType.File]

    def read_bytes(self) -> bytes:
        """Return the file's content.

        Raises:
            InputError: If it cannot be read.
        """

        def read() -> bytes:
            # Of an input stream pyarrow asks for 256 KiB a request, one after the other.
            with self.filesystem.open_input_file(self.path) as file:
                return bytes(file.read())

        return self.retried(read)

    def retried(self, read: Callable[[], Result]) -> Result:
        """Return what a reading of this file returns; S3 is asked again where pyarrow does not.

        Where fewer bytes are asked for than the body of an error has, some 300, pyarrow neither
        tells which error it is nor tries again.

        Raises:
            InputError: If it cannot be read.
        """

        def once() -> Result:
            with _explained(self, "read"):
                return read()

        for _ in range(_AGAIN):
            try:
                return once()
            except s3_errors.LostAnswerError:
                s3.ask(self._options, self.path)
        return once()

    def read_range(self, offset: int, size: int) -> bytes:
        """Return so many bytes from an offset, fewer where the file ends.

        Raises:
            InputError: If they cannot be read.
        """

        def read() -> bytes:
            with self.filesystem.open_input_file(self.path) as file:
                return bytes(file.read_at(max(min(size, file.size() - offset), 0), offset))

        return self.retried(read)

    @contextlib.contextmanager
    def open_parquet(self) -> Iterator[pq.ParquetFile]:
        """Open a Parquet file to read some of its columns; errors on the way are explained.

        What reads small columns of a large file shall do so under `retried`.

        Raises:
            InputError: If it cannot be read.
        """
        with (
            _explained(self, "read", damaged="not a Parquet file, or damaged"),
            self.filesystem.open_input_file(self.path) as file,
            # The columns of all row groups are fetched at a time: few and small, but far apart.
            pq.ParquetFile(file, pre_buffer=True) as parquet,
        ):
            yield parquet

    def read_text(self) -> str:
        """Return the file's content as UTF-8 text.

        Raises:
            InputError: If it cannot be read or is not UTF-8.
        """
        try:
            return self.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self}: not UTF-8 text ({error.reason})", "save it as UTF-8"
            ) from None

    def write_bytes(self, content: bytes | pa.Buffer) -> None:
        """Write a whole file so that nobody ever sees a part of it.

        On disk a temporary name is renamed; S3 gets an object in one request; other object stores
        publish it when its stream is closed.

        Raises:
            InputError: If it cannot be written.
        """
        with _explained(self, "written"):
            parent = posixpath.dirname(self.path)
            if self._is_s3:
                s3.put(self._options, self.path, content)
                return
            if not self.is_local:
                with self.filesystem.open_output_stream(self.path) as stream:
                    stream.write(content)
                return
            self.filesystem.create_dir(parent, recursive=True)
            temporary = Path(parent) / f".{self.name}.{uuid.uuid4().hex[:8]}.tmp"
            try:
                with temporary.open("wb") as file:
                    file.write(memoryview(content))
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self.path)
            finally:
                temporary.unlink(missing_ok=True)

    def delete(self) -> None:
        """Delete a file or a directory with all below it; nothing there is fine."""
        kind = self._info().type
        with _explained(self, "deleted"):
            if kind == fs.FileType.Directory:
                self.filesystem.delete_dir(self.path)
            elif kind == fs.FileType.File:
                self.filesystem.delete_file(self.path)

    def read_table(
        self, *, columns: list[str] | None = None, where: list[tuple[str, str, Any]] | None = None
    ) -> pa.Table:
        """Return a Parquet file's rows.

        Args:
            columns: Columns to read; all by default.
            where: Conditions as `("class", "==", "boat")`; row groups that cannot meet them are
                not read.

        Raises:
            InputError: If it cannot be read.
        """
        return self.retried(
            lambda: pq.read_table(
                self.path, filesystem=self.filesystem, columns=columns, filters=where
            )
        )

    def count_rows(self) -> int:
        """Return the number of rows of a Parquet file, from its footer.

        Raises:
            InputError: If it cannot be read.
        """
        metadata = self.retried(lambda: pq.read_metadata(self.path, filesystem=self.filesystem))
        return int(metadata.num_rows)

    def write_table(self, table: pa.Table, *, group: int | None = None) -> None:
        """Write a Parquet file whole, zstd-compressed.

        Args:
            table: Its rows.
            group: Rows a row group, the least that is read at once; pyarrow's default is large.

        Raises:
            InputError: If it cannot be written.
        """
        sink = pa.BufferOutputStream()
        # Dictionaries and statistics of the numbers in lists took two thirds of the time (1.5 ms
        # an image against 0.45), and files were a tenth larger.
        plain = [one.name for one in table.schema if not pa.types.is_nested(one.type)]
        pq.write_table(
            table, sink, compression="zstd", row_group_size=group,
            use_dictionary=plain, write_statistics=plain,
        )  # fmt: skip
        self.write_bytes(sink.getvalue())

    def write_tables(self, tables: Sequence[pa.Table]) -> None:
        """Write tables of one schema as one Parquet file, a row group each.

        Raises:
            InputError: If it cannot be written.
        """
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(sink, tables[0].schema, compression="zstd") as writer:
            for table in tables:
                writer.write_table(table, row_group_size=max(table.num_rows, 1))
        self.write_bytes(sink.getvalue())


def _descendants(place: Location) -> Iterator[fs.FileInfo]:
    """Yield every file below; only one folder's entries are held a level."""
    for info in place.entries():
        if info.type == fs.FileType.Directory:
            yield from _descendants(replace(place, path=info.path))
        elif info.type == fs.FileType.File:
            yield info


class _Raw(io.RawIOBase):
    """A file whose errors are explained however late they come; pyarrow's own are not."""

    def __init__(self, place: Location, file: pa.NativeFile) -> None:
        self._place, self._file = place, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return int(self._file.tell())

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return int(self._file.seek(offset, whence))

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        return self._place.retried(lambda: int(self._file.readinto(buffer)))

    def close(self) -> None:
        self._file.close()
        super().close()


@contextlib.contextmanager
def _explained(location: Location, verb: str, damaged: str = "") -> Iterator[None]:
    """Turn the filesystem's errors into one line that names the location and the remedy.

    Args:
        location: What was worked on.
        verb: What was tried.
        damaged: What to say where the trouble is what the file holds.
    """
    try:
        yield
    except RaypipeError:
        raise
    except FileNotFoundError:
        raise MissingError(f"{location}: not found", "check the path") from None
    except (OSError, pa.ArrowException) as error:
        if location.scheme == "s3" and s3_errors.is_answer(error):
            raise s3_errors.refused(str(location), error, verb) from None
        # EPERM, EACCES, EROFS
        if isinstance(error, PermissionError) or getattr(error, "errno", 0) in {1, 13, 30}:
            raise InputError(
                f"{location}: no permission, it cannot be {verb}",
                "change the permissions, or name another place",
            ) from None
        reason = str(error).splitlines()[0]
        # Of local files and of S3 it is the file that is wrong; how others word it nobody knows.
        known = location.is_local or location.scheme == "s3" or isinstance(error, pa.ArrowException)
        if known and damaged:
            raise InputError(
                f"{location}: {damaged} ({reason})", "copy or download it again"
            ) from None
        raise (InputError if known else StoreError)(
            f"{location}: cannot be {verb} ({reason})", "check the path"
        ) from None
