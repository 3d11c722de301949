"""WebDataset shards, read in place: each tar holds samples, members that have a key in common.

root/[train/]*.tar      or root/*train*.tar; the rule is in `splits`
root/classes.txt        names of numbered classes, where there is one
000017.jpg 000017.cls   an image and its class, a number or a name; or
000017.jpg 000017.json  with `class`, `classes`, `label` or `labels`

A member's key is its path up to the first dot of its base name
(webdataset.tariterators.base_plus_ext). Members of other kinds are never opened, pickles above all.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from raypipe.config import DatasetConfig
from raypipe.datasets.base import ClassRecord, ImageRecord
from raypipe.datasets.names import ClassNames, class_records, in_order_of_numbers
from raypipe.datasets.splits import listed, of_split
from raypipe.datasets.tars import COMPRESSED, Member, members
from raypipe.errors import InputError
from raypipe.storage.ahead import in_order
from raypipe.storage.blob import range_uri
from raypipe.storage.location import Location

_IMAGES = ("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif")
"""Endings of a sample's image; where a sample has several, the first of these."""

_KEYS = ("class", "classes", "label", "labels")
_LARGEST = 1 << 20  # bytes of a .cls or .json: labels are a few hundred


class WebDataset:
    """Images and labels in tar shards.

    Args:
        config: The dataset's settings; `split` is the one that `classes` looks through.
        root: The folder, or a single shard.

    Raises:
        InputError: If there are no shards, or they are compressed.
    """

    def __init__(self, config: DatasetConfig, root: Location) -> None:
        self._split = config.split
        self._folder, shards = listed(root, (".tar", *COMPRESSED), "tar shards")
        for shard in shards:
            if shard.endswith(COMPRESSED):
                raise InputError(
                    f"{self._folder / shard}: compressed, so its images cannot be read in place",
                    "decompress it to .tar (images hardly compress), or move it away",
                )
        self._shards = shards
        self._names = ClassNames.read(self._folder)
        self._scanned: _Scanned | None = None

    def classes(self) -> list[ClassRecord]:
        """Return the classes of `classes.txt`, else those in the split's labels, sorted."""
        if self._names.names:
            return class_records(self._names.names)
        self._scanned = self._scanned or _Scanned(self._scan(self._split))
        return class_records(in_order_of_numbers(self._scanned.classes))

    def images(self, split: str) -> Iterator[ImageRecord]:
        """Yield the samples that have an image, in the order of the shards.

        Raises:
            InputError: If there is no such split, or a shard or a label is damaged.
        """
        if self._scanned and split == self._split:
            return iter(self._scanned)
        return self._scan(split)

    def _scan(self, split: str) -> Iterator[ImageRecord]:
        shards = of_split(self._shards, split, self._folder)
        if self._folder.is_local:
            for shard in shards:
                yield from self._samples(shard)
            return
        # A shard is a chain of small reads, one a member: many shards at a time.
        for found in in_order(lambda shard: list(self._samples(shard)), shards, self._folder):
            yield from found

    def _samples(self, shard: str) -> Iterator[ImageRecord]:
        place = self._folder / shard
        kinds: set[str] = set()
        images = 0
        with place.open() as file:
            for key, parts in groupby(_parts(file, str(place)), lambda part: part.key):
                sample = {part.kind: part for part in parts}
                kinds.update(sample)
                image = next((sample[kind].member for kind in _IMAGES if kind in sample), None)
                if image is None:
                    continue
                images += 1
                uri = range_uri(str(place), image.offset, image.size)
                labels = self._labels(sample, str(place))
                yield ImageRecord(f"{shard.removesuffix('.tar')}/{key}", uri, labels)
        if not images:
            raise InputError(
                f"{place}: no images in it, only {', '.join(sorted(kinds)) or 'nothing'}",
                f"an image ends in one of {', '.join(_IMAGES)}",
            )

    def _labels(self, sample: dict[str, _Part], place: str) -> tuple[str, ...]:
        """Return the classes of a sample: of its `.cls`, else of its `.json`, else none."""
        part = sample.get("cls") or sample.get("json")
        if part is None:
            return ()
        source = f"{place}: {part.member.name}"
        text = _text(part, source)
        labels = [_number_or_name(text)] if part.kind == "cls" else _json_labels(text, source)
        found = (self._names.name(label, source) for label in labels)
        return tuple(dict.fromkeys(name for name in found if name is not None))


@dataclass(frozen=True)
class _Part:
    """A member of a sample, with its content if it holds labels."""

    member: Member
    content: bytes

    @property
    def key(self) -> str:
        folder, slash, base = self.member.name.rpartition("/")
        return folder + slash + base.partition(".")[0]

    @property
    def kind(self) -> str:
        return _kind(self.member)


class _Scanned:
    """A split's records in a temporary file: finding the classes and listing are one scan."""

    def __init__(self, records: Iterator[ImageRecord]) -> None:
        self.classes: set[str] = set()
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", prefix="raypipe-")  # noqa: SIM115
        for record in records:
            self.classes.update(record.classes)
            line = json.dumps([record.image_id, record.uri, record.classes])
            self._file.write(f"{line}\n")

    def __iter__(self) -> Iterator[ImageRecord]:
        self._file.seek(0)
        for line in self._file:
            image_id, uri, classes = json.loads(line)
            yield ImageRecord(image_id, uri, tuple(classes))


def _kind(member: Member) -> str:
    return member.name.rpartition("/")[2].partition(".")[2].lower()


def _parts(file: io.BufferedReader, source: str) -> Iterator[_Part]:
    """Yield a shard's members; labels are read as they are passed, with their header's bytes."""
    for member in members(file, source):
        content = b""
        if _kind(member) in {"cls", "json"}:
            file.seek(member.offset)
            content = file.read(min(member.size, _LARGEST))
        yield _Part(member, content)


def _number_or_name(text: str) -> int | str:
    text = text.strip()
    return int(text) if text.removeprefix("-").isdecimal() else text


def _json_labels(text: str, source: str) -> list[Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source}: not JSON ({error})", "write the shard again") from None
    if not isinstance(content, dict):
        return []
    label = next((content[key] for key in _KEYS if key in content), None)
    return label if isinstance(label, list) else [label]


def _text(part: _Part, source: str) -> str:
    if len(part.content) < part.member.size:
        raise InputError(
            f"{source}: has {part.member.size} bytes, no label is so long", "write the shard again"
        )
    try:
        return part.content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{source}: not UTF-8 text", "write the shard again") from None
