"""A folder a class, or just a folder of images.

root/[split/]<class>/*.jpg      labelled by the folder
root/[split/]*.jpg              no labels: say with --classes what to look for
"""

from __future__ import annotations

from collections.abc import Iterator

from pyarrow import fs

from raypipe.config import DatasetConfig
from raypipe.datasets.base import ClassRecord, ImageRecord, require_dir
from raypipe.errors import InputError
from raypipe.storage.location import Location

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")
"""Endings, in lower case, of the files that count as images."""

_SPLITS = frozenset({"train", "val", "valid", "validation", "test"})


class ImageFolder:
    """Images in folders named after their class.

    Args:
        config: The dataset's settings.
        root: The folder.

    Raises:
        InputError: If the folder is not there.
    """

    def __init__(self, config: DatasetConfig, root: Location) -> None:
        del config
        self._root = require_dir(root, "a folder with one folder of images a class")

    def classes(self) -> list[ClassRecord]:
        """Return one class a folder, sorted by name, over all splits."""
        folders = [self._root / split for split in self._splits()] or [self._root]
        names = {name for folder in folders for name in _folders(folder)}
        return [ClassRecord(name, name) for name in sorted(names)]

    def images(self, split: str) -> Iterator[ImageRecord]:
        """Yield the images of a split; without split folders every split is the whole folder.

        Raises:
            InputError: If there are split folders and none of that name.
        """
        splits = self._splits()
        if splits and split not in splits:
            raise InputError(
                f"{self._root}: no split {split!r}", f"--split is one of {', '.join(splits)}"
            )
        base = self._root / split if splits else self._root
        for path in base.files():
            if path.lower().endswith(SUFFIXES):
                folder, slash, _ = path.partition("/")
                yield ImageRecord(path, str(base / path), (folder,) if slash else ())

    def _splits(self) -> list[str]:
        """Return the split folders: all folders are named as splits are, or there is none."""
        found = _folders(self._root)
        return found if found and set(found) <= _SPLITS else []


def _folders(place: Location) -> list[str]:
    return [
        info.base_name
        for info in place.entries()
        if info.type == fs.FileType.Directory and not info.base_name.startswith(".")
    ]
