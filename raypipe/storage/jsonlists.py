"""A long list of JSON objects as files of a bounded size, each a list of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from raypipe.storage.location import Location

LIMIT = 50_000_000
"""Bytes of a file; Label Studio takes 250 MB an upload by default."""


def write_lists(
    items: Iterable[Mapping[str, Any]], folder: Location, stem: str, *, limit: int = LIMIT
) -> int:
    """Write objects to `<stem>-00000.json` and so on; no more than one file is held.

    Files of these names that an earlier, longer list left are deleted.

    Args:
        items: What can be written as JSON.
        folder: Where to.
        stem: What the files' names begin with.
        limit: Bytes of a file, unless a single object is larger.

    Returns:
        How many files.

    Raises:
        InputError: If they cannot be written.
    """
    files = 0
    for files, texts in enumerate(_batches(items, limit), 1):
        content = b"[\n" + b",\n".join(texts) + b"\n]\n"
        (folder / f"{stem}-{files - 1:05d}.json").write_bytes(content)
    for name in folder.names():
        match = re.fullmatch(re.escape(stem) + r"-(\d{5})\.json", name)
        if match and int(match[1]) >= files:
            (folder / name).delete()
    return files


def _batches(items: Iterable[Mapping[str, Any]], limit: int) -> Iterator[list[bytes]]:
    """Yield the objects as text, so many at a time as fit."""
    texts: list[bytes] = []
    size = 0
    for item in items:
        text = json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode()
        if texts and size + len(text) > limit:
            yield texts
            texts, size = [], 0
        texts.append(text)
        size += len(text)
    if texts:
        yield texts
