"""Which files are of a split, by the names that shards commonly have.

A shard is of the split that the last such word of its path names: `train-00001.tar`,
`imagenet1k-validation-07.tar`, `data/test-00000-of-00002.parquet`, `val/0000.tar`. Where no path
names one, every split is all files.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import replace

from raypipe.datasets.base import require_dir
from raypipe.errors import InputError
from raypipe.storage.location import Location

_WORDS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
}  # fmt: skip
"""Words for each split: those that the Hugging Face Hub knows."""


def canonical(split: str) -> str:
    """Return the one name of a split that goes by several: `validation` is `val`."""
    return _WORDS.get(split.lower(), split)


def listed(root: Location, suffixes: tuple[str, ...], what: str) -> tuple[Location, list[str]]:
    """Return the files with these endings, as a folder and the paths below it, sorted.

    Args:
        root: The folder, or one such file.
        suffixes: Endings of the names, in lower case.
        what: What the files are, for errors.

    Raises:
        InputError: If there is none.
    """
    if root.name.endswith(suffixes) and root.exists() and not root.is_dir():
        return replace(root, path=posixpath.dirname(root.path)), [root.name]
    require_dir(root, f"a folder of {what}")
    # Tools leave unfinished copies in hidden folders (`.cache`, `.part`).
    found = [
        path for path in root.files()
        if path.endswith(suffixes) and not re.search(r"(^|/)\.", path)
    ]  # fmt: skip
    if not found:
        raise InputError(f"{root}: no {what} in it", "check --root and --dataset")
    return root, found


def of_split(paths: Sequence[str], split: str, source: Location) -> list[str]:
    """Return the paths that belong to a split.

    Raises:
        InputError: If some path names a split, and none this one.
    """
    splits = [_named(path) for path in paths]
    if not any(splits):
        return list(paths)
    wanted = canonical(split)
    found = [path for path, own in zip(paths, splits, strict=True) if own == wanted]
    if not found:
        raise InputError(
            f"{source}: no split {split!r}",
            f"--split is one of {', '.join(sorted(set(splits) - {''}))}",
        )
    return found


def _named(path: str) -> str:
    """Return the split that a path names, or nothing."""
    words = re.findall(r"[a-z]+", posixpath.splitext(path)[0].lower())
    return next((_WORDS[word] for word in reversed(words) if word in _WORDS), "")
