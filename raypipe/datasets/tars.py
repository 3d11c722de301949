"""Which files a tar archive holds and where in it, from its headers alone.

Nothing is ever unpacked, so a hostile name cannot reach a disk; it is refused all the same, as is
everything that is no plain file: an archive that holds it is not what it is taken for.
"""

from __future__ import annotations

import gzip
import io
import posixpath
import struct
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from raypipe.errors import InputError
from raypipe.storage.location import Location

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
"""Endings of archives that have to be read from their start to reach a member."""

_HEADER = 1 << 20
"""Most bytes a header may have: the names in a long one are a few kilobytes."""

_ANNOTATION = 1 << 24
"""Most bytes an annotation may have: the longest, of the development kit, has 0.6 million."""

_STREAM = 1 << 20  # bytes read at a time of an archive that is read from end to end

_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}

_BROKEN = (
    tarfile.TarError, ValueError, ArithmeticError, LookupError, RuntimeError, TypeError,
    struct.error,
)  # fmt: skip
"""What tarfile raises on damaged headers: its own errors, and those of parsing numbers."""


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        name: Its path there, without a leading `./`.
        offset: Where its content begins, bytes from the start of the opened file.
        size: Bytes.
    """

    name: str
    offset: int
    size: int


def members(file: io.BufferedReader, source: str, within: Member | None = None) -> Iterator[Member]:
    """Yield the files of an archive in their order, without reading their contents.

    The file may be moved between two members. Folders and hidden files (macOS writes `._name`
    beside `name`) are left out.

    Args:
        file: The opened archive.
        source: Its name, for errors.
        within: The member of it that is the archive to read, if it is one in another.

    Raises:
        InputError: If it is compressed, cut short or damaged, or holds links, devices, sparse
            files or names that lead out of it.
    """
    start = within.offset if within else 0
    end = start + within.size if within else file.seek(0, io.SEEK_END)
    source = f"{source}: {within.name}" if within else source
    file.seek(start)
    _refuse_compressed(file.read(8), source)
    last = ""
    with _opened(_Headers(file, start, end), source) as tar:
        # Python's tarfile ends without a word at a header it cannot read: `_check_end`.
        while info := _next(tar, source, last):
            # It would keep every header; a million of them are a gigabyte.
            tar.members.clear()  # type: ignore[attr-defined] # not in the stubs
            if info.isdir():
                continue
            _refuse(info, source)
            offset = start + info.offset_data
            if info.size < 0 or offset + info.size > end:
                _cut_short(source, last)
            last = info.name
            if not posixpath.basename(info.name).startswith("."):
                yield Member(posixpath.normpath(info.name), offset, info.size)
        _check_end(file, start + tar.offset, source, last)


class _Headers(io.RawIOBase):
    """A range of a file, as tarfile reads headers from it: seek, tell, and small reads."""

    def __init__(self, file: io.BufferedReader, start: int, end: int) -> None:
        self._file, self._start, self._end = file, start, end
        self._at = start

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at - self._start

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move; tarfile counts from the start only."""
        if whence != io.SEEK_SET or offset < 0:
            raise ValueError("a header points before the archive's start")
        self._at = self._start + offset
        return offset

    def read(self, size: int = -1, /) -> bytes:
        """Return so many bytes, fewer at the end; a hostile header cannot ask for gigabytes."""
        if not 0 <= size <= _HEADER:
            raise ValueError(f"a header claims {size} bytes")
        self._file.seek(self._at)
        found = self._file.read(max(min(size, self._end - self._at), 0))
        self._at += len(found)
        return found


def _opened(headers: _Headers, source: str) -> tarfile.TarFile:
    try:
        return tarfile.TarFile(fileobj=headers, mode="r")
    except _BROKEN as error:
        _damaged(source, "", error)


def _next(tar: tarfile.TarFile, source: str, last: str) -> tarfile.TarInfo | None:
    before = tar.offset
    first = tar.firstmember is not None  # type: ignore[attr-defined] # not in the stubs
    try:
        found = tar.next()
        if found and not first and tar.offset <= before:
            raise ValueError("a header points back")  # else the same members would come for ever
    except _BROKEN as error:
        _damaged(source, last, error)
    return found


def _refuse_compressed(magic: bytes, source: str) -> None:
    for start, name in _MAGIC.items():
        if magic.startswith(start):
            raise InputError(
                f"{source}: compressed with {name}, so its images cannot be read in place",
                "store it uncompressed, as `gunzip` leaves it: images hardly compress",
            )


def _refuse(info: tarfile.TarInfo, source: str) -> None:
    """Raise for a member that no archive of images has a reason to hold."""
    name = info.name
    if name.startswith("/") or ".." in name.split("/"):
        wrong = "its name leads out of the archive"
    elif info.issym() or info.islnk():
        wrong = f"a link to {info.linkname}"
    elif info.issparse():
        wrong = "a sparse file, whose bytes do not lie together"
    elif not info.isreg():
        wrong = "no plain file"
    else:
        return
    raise InputError(
        f"{source}: member {name!r} is refused: {wrong}",
        "write the archive again with plain files and relative names"
        " (`tar --dereference --hard-dereference`)",
    )


def _check_end(file: io.BufferedReader, at: int, source: str, last: str) -> None:
    file.seek(at)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        _cut_short(source, last)
    if any(block):
        _damaged(source, last, ValueError(f"no header at byte {at}"))


def _cut_short(source: str, last: str) -> NoReturn:
    raise InputError(
        f"{source}: the archive is cut short; its last whole member is {last or '(none)'}",
        "copy or download it again",
    )


def _damaged(source: str, last: str, error: Exception) -> NoReturn:
    if any(words in str(error) for words in ("unexpected end", "truncated", "end-of-stream")):
        _cut_short(source, last)
    raise InputError(
        f"{source}: not a tar archive, or damaged ({error}); the last member read is "
        f"{last or '(none)'}",
        "copy or download it again",
    ) from None


def read_compressed(place: Location, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the small files with these endings in a gzipped archive.

    For annotations, which are read whole: one pass, nothing is kept.

    Raises:
        InputError: If it is damaged or cut short, or such a file is larger than 16 MiB, no plain
            file, or named so that it leads out of the archive.
    """
    last = ""
    try:
        with (
            place.open() as file,
            # Of a stream that is cut short tarfile's own "r|gz" returns what it has, silently.
            # gzip reads 8 KiB at a time, of an object store a request each.
            gzip.GzipFile(fileobj=io.BufferedReader(file, _STREAM)) as stream,
            tarfile.open(fileobj=stream, mode="r|", bufsize=_STREAM) as tar,
        ):
            while info := tar.next():
                tar.members.clear()  # type: ignore[attr-defined] # not in the stubs
                if info.isdir() or not info.name.endswith(suffixes):
                    continue
                _refuse(info, str(place))
                if info.size > _ANNOTATION or (content := tar.extractfile(info)) is None:
                    raise InputError(
                        f"{place}: {info.name} has {info.size} bytes, no annotation is so long",
                        "download it again",
                    )
                yield info.name, content.read()
                last = info.name
    except (*_BROKEN, EOFError, gzip.BadGzipFile, zlib.error) as error:
        _damaged(str(place), last, error)
