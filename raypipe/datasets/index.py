"""The index step: a split of a dataset as tables, cut into shards.

Everything later works on the index, never on the layout: a bad path is found here, and an image
is the same image whatever reads it. Records stream through a sort on disk, so that memory does
not grow with their number.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, replace
from itertools import groupby, islice

import pyarrow as pa

from raypipe.config import DatasetConfig
from raypipe.datasets.base import ClassRecord, Dataset, ImageRecord, open_dataset
from raypipe.datasets.sorting import RecordSorter, encoded
from raypipe.errors import InputError
from raypipe.progress import say, tracking
from raypipe.storage.location import Location
from raypipe.storage.parts import Parts
from raypipe.storage.run import Manifest, Plan, Run
from raypipe.tables import BOXES, CLASSES, IMAGES, SHARDS

_PART = 64
"""Shards a part of the images table: a worker reads one part's footer to find its shard."""


def plan(config: DatasetConfig, index_set: str, searched: Sequence[str] = ()) -> Plan:
    """Say what indexing a split would do.

    Args:
        config: The dataset and its split.
        index_set: Name of the set below `index/`.
        searched: Classes to look for in every image instead of the image's own labels.
    """
    settings = config.identity() | {"searched": list(searched)}
    if config.name != "toyworld":
        del settings["toyworld"]
    return Plan(f"index/{index_set}", settings, {})


def execute(run: Run, config: DatasetConfig, plan: Plan, known: Sequence[ClassRecord]) -> Manifest:
    """Write the index of one split.

    Args:
        run: The run directory.
        config: The dataset and its split.
        plan: What `plan` returned.
        known: Classes of the run; empty for the training set, which defines them.

    Raises:
        InputError: If the split is empty or names unknown classes.
    """
    dataset = open_dataset(config)
    searched = tuple(plan.config["searched"])
    if known:
        # The run's classes are settled; only the pixel values of masks are the dataset's own.
        values = {item.name: item.mask_value for item in dataset.classes()}
        classes = [replace(item, mask_value=values.get(item.name)) for item in known]
        chosen = _chosen(classes, searched)
    else:
        chosen = _chosen(dataset.classes(), searched or config.only or _listed(config))
    if searched:
        searched = tuple(item.name for item in chosen)  # they may have been named by title
    with RecordSorter() as sorter:
        started = time.monotonic()
        names = {item.name for item in chosen}
        for record in _labelled(_read(dataset, config, names), names, searched):
            sorter.add(record)
        if not len(sorter):
            raise InputError(
                f"{config.root or config.name}: no images in split {config.split!r}",
                "check --root, --split and the classes asked for",
            )
        run.begin(plan)  # not before: a mistake leaves the index that was there
        written = _Written(run, plan, names)
        order = {item.name: at for at, item in enumerate(chosen)}
        for shards in _batched(_shards(sorter, order, config.shard_size), _PART):
            written.add(shards)
        seconds = max(time.monotonic() - started, 1e-9)
    say(f"{plan.step}: {written.images / seconds:,.0f} images a second")
    run.write(SHARDS, SHARDS.build(written.shards), plan.step, "shards.parquet")
    run.write(CLASSES, _classes(chosen, written.counts), plan.step, "classes.parquet")
    counts = {
        "images": written.images,
        "shards": len(written.shards),
        "classes": sum(written.counts[item.name] > 0 for item in chosen),
        "boxes": written.boxes,
        "masks": written.masks,
    }
    details = {"dataset": config.name, "split": config.split, "content": written.content}
    return run.finish(plan, counts, details)


def read_classes(run: Run, index_set: str) -> list[ClassRecord]:
    """Return the classes of an indexed set that have images in it, in the dataset's order."""
    rows = run.read(CLASSES, "index", index_set, "classes.parquet").to_pylist()
    return [
        ClassRecord(row["class"], row["title"], row["network_index"], row["mask_value"])
        for row in rows
        if row["images"]
    ]


def class_sizes(run: Run, index_set: str) -> dict[str, int]:
    """Return how many images of an indexed set carry each label."""
    rows = run.read(CLASSES, "index", index_set, "classes.parquet")
    return dict(zip(rows["class"].to_pylist(), rows["images"].to_pylist(), strict=True))


def _listed(config: DatasetConfig) -> list[str]:
    """Return the classes of the class file, if there is one."""
    if not config.class_file:
        return []
    lines = Location.of(config.class_file).read_text().splitlines()
    return [line.strip() for line in lines if line.strip()]


def _chosen(classes: list[ClassRecord], only: Sequence[str]) -> list[ClassRecord]:
    """Return the classes asked for, by name or title; all if none is named."""
    if not only:
        return classes
    found = [item for item in classes if {item.name, item.title} & set(only)]
    unknown = set(only) - {name for item in found for name in (item.name, item.title)}
    if unknown:
        raise InputError(
            f"unknown class {', '.join(sorted(unknown))}",
            "the dataset's classes are: " + ", ".join(item.name for item in classes[:30]),
        )
    return found


def _read(dataset: Dataset, config: DatasetConfig, names: set[str]) -> Iterator[ImageRecord]:
    """Yield the split's records; beyond `limit` only those that a class still lacks."""
    taken: Counter[str] = Counter()
    with tracking("indexing", 0, "images") as tracker:
        for record in dataset.images(config.split):
            tracker.advance(1)
            wanted = [name for name in record.classes if name in names]
            if config.limit and wanted and all(taken[name] >= config.limit for name in wanted):
                continue
            taken.update(wanted)
            yield record


def _labelled(
    records: Iterable[ImageRecord], names: set[str], searched: tuple[str, ...]
) -> Iterator[ImageRecord]:
    """Yield the records with the labels to work on.

    An image whose labels are all left out is left out too; an image that never had any stays.
    """
    for record in records:
        labels = searched or tuple(name for name in record.classes if name in names)
        if labels or not record.classes:
            yield replace(record, classes=labels)


def _shards(
    sorter: RecordSorter, order: Mapping[str, int], size: int
) -> Iterator[list[ImageRecord]]:
    """Cut the sorted records into shards: of one group's images where that leaves no crumbs.

    A group is cut into shards of about equal sizes; groups of less than half a shard share one.
    """
    sizes = sorter.sizes
    crumbs: list[ImageRecord] = []
    for group, found in groupby(sorter, key=lambda item: item[0]):
        records = (_sorted_labels(record, order) for _, record in found)
        count = sizes[group]
        if 2 * count < size:
            if len(crumbs) + count > size:
                yield crumbs
                crumbs = []
            crumbs += records
            continue
        if crumbs:
            yield crumbs
            crumbs = []
        pieces = -(-count // size)
        for at in range(pieces):
            yield list(islice(records, (at + 1) * count // pieces - at * count // pieces))
    if crumbs:
        yield crumbs


def _sorted_labels(record: ImageRecord, order: Mapping[str, int]) -> ImageRecord:
    """Return the record with its labels in the order of the dataset's classes."""
    return replace(record, classes=tuple(sorted(record.classes, key=order.__getitem__)))


def _batched(shards: Iterable[list[ImageRecord]], size: int) -> Iterator[list[list[ImageRecord]]]:
    """Yield so many shards at a time."""
    rest = iter(shards)
    while batch := list(islice(rest, size)):
        yield batch


class _Written:
    """Writes parts of the index as their shards come, and counts what is in them.

    Args:
        run: The run directory.
        plan: The step.
        names: Classes whose boxes are kept.
    """

    def __init__(self, run: Run, plan: Plan, names: set[str]) -> None:
        self.shards: list[dict[str, object]] = []
        self.counts: Counter[str] = Counter()
        self.images = self.boxes = self.masks = 0
        self._images, self._boxes = (Parts(run, plan, table.name) for table in (IMAGES, BOXES))
        for parts in (self._images, self._boxes):
            parts.folder.delete()  # of an index that was made before: it may have had more parts
        self._names = names
        self._digest = hashlib.sha256()
        self._parts = 0

    @property
    def content(self) -> str:
        """Hash of what was listed, truth included: 16 hexadecimal digits."""
        return self._digest.hexdigest()[:16]

    def add(self, shards: list[list[ImageRecord]]) -> None:
        """Write the next part."""
        part = f"{self._parts:05d}"
        self._parts += 1
        images, boxes = [], []
        for shard in shards:
            listed = "\n".join(f"{record.image_id}\t{record.uri}" for record in shard)
            digest = hashlib.sha256(listed.encode()).hexdigest()[:10]
            name = f"{len(self.shards):06d}-{digest}"
            images.append(IMAGES.build([self._row(record, name) for record in shard]))
            boxes += [row for record in shard for row in self._box_rows(record)]
            self.shards.append({"shard": name, "part": part, "images": len(shard)})
            self.images += len(shard)
        self.boxes += len(boxes)
        self._images.place(part).write_tables(images)
        self._boxes.place(part).write_table(BOXES.build(boxes))

    def _row(self, record: ImageRecord, shard: str) -> dict[str, object]:
        self._digest.update(encoded(record).encode())
        self.masks += record.mask_uri is not None
        ordinals = [self.counts[label] for label in record.classes]
        self.counts.update(record.classes)
        return {
            "image_id": record.image_id,
            "uri": record.uri,
            "classes": list(record.classes),
            "ordinals": ordinals,
            "mask_uri": record.mask_uri,
            "shard": shard,
        }

    def _box_rows(self, record: ImageRecord) -> Iterator[dict[str, object]]:
        for box in record.boxes:
            if box.name in self._names:
                yield dict(zip(BOXES.schema.names, (record.image_id, *astuple(box)), strict=True))


def _classes(classes: list[ClassRecord], counts: Counter[str]) -> pa.Table:
    return CLASSES.build(
        [
            {
                "class": item.name,
                "title": item.title or item.name,
                "images": counts[item.name],
                "network_index": item.network_index,
                "mask_value": item.mask_value,
            }
            for item in classes
        ]
    )
