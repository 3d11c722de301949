"""Where the images of ILSVRC lie: in the unpacked tree, or in the challenge's archives.

[ILSVRC/]Data/CLS-LOC/train/<wnid>/*.JPEG     ILSVRC2012_img_train.tar: a tar of <wnid>.tar
[ILSVRC/]Data/CLS-LOC/val/*.JPEG              ILSVRC2012_img_val.tar: 50,000 images
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from typing import Protocol

from pyarrow import fs

from raypipe.datasets.tars import Member, members
from raypipe.errors import InputError
from raypipe.storage.ahead import in_order
from raypipe.storage.blob import range_uri
from raypipe.storage.location import Location

_SUFFIXES = (".jpeg", ".jpg", ".png")

File = tuple[str, str]
"""An image's name without its ending, and its URI."""


class Images(Protocol):
    """The images of one split."""

    def by_class(self) -> Iterator[tuple[str, Iterable[File]]]:
        """Yield the images of train: each wnid with its files."""
        ...

    def flat(self) -> Iterator[File]:
        """Yield the images of val."""
        ...

    def wnids(self) -> list[str]:
        """Return the wnids of train."""
        ...


class Tree:
    """Images in folders.

    Args:
        folder: `Data/CLS-LOC/<split>`.
    """

    def __init__(self, folder: Location) -> None:
        self._folder = folder

    def by_class(self) -> Iterator[tuple[str, Iterable[File]]]:
        """Yield each wnid with its files."""
        for wnid in self.wnids():
            yield wnid, _files(self._folder / wnid)

    def flat(self) -> Iterator[File]:
        """Yield the files."""
        return _files(self._folder)

    def wnids(self) -> list[str]:
        """Return the names of the folders."""
        found = self._folder.entries()
        return [info.base_name for info in found if info.type == fs.FileType.Directory]


class Archive:
    """Images in a tar, or in the tars that a tar holds; they are read in place.

    Args:
        place: The archive.
    """

    def __init__(self, place: Location) -> None:
        self._place = place
        self._tars: list[Member] = []

    def by_class(self) -> Iterator[tuple[str, Iterable[File]]]:
        """Yield each wnid with its files; remote archives are scanned several classes at a time.

        Raises:
            InputError: If the archive is damaged, or does not hold a tar a class.
        """
        tars = self._class_tars()
        for inner, found in zip(tars, in_order(self._inside, tars, self._place), strict=True):
            yield _wnid(inner), found

    def flat(self) -> Iterator[File]:
        """Yield the images.

        Raises:
            InputError: If the archive is damaged.
        """
        return self._scan(None)

    def wnids(self) -> list[str]:
        """Return the names of the tars in it."""
        return [_wnid(inner) for inner in self._class_tars()]

    def _class_tars(self) -> list[Member]:
        if not self._tars:
            with self._place.open() as file:
                found = list(members(file, str(self._place)))
            for member in found:
                if not member.name.endswith(".tar"):
                    raise InputError(
                        f"{self._place}: holds {member.name}, not one tar a class",
                        "use the challenge's own archive, or --dataset webdataset",
                    )
            self._tars = sorted(found, key=_wnid)
        return self._tars

    def _inside(self, inner: Member) -> list[File]:
        """Return the images of one class: about 1,300."""
        return list(self._scan(inner))

    def _scan(self, within: Member | None) -> Iterator[File]:
        with self._place.open() as file:
            for member in members(file, str(self._place), within):
                if member.name.lower().endswith(_SUFFIXES):
                    uri = range_uri(str(self._place), member.offset, member.size)
                    yield _stem(member.name), uri


def _wnid(inner: Member) -> str:
    return _stem(inner.name)


def _stem(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0]


def _files(folder: Location) -> Iterator[File]:
    for name in folder.names():
        if name.lower().endswith(_SUFFIXES):
            yield _stem(name), str(folder / name)
