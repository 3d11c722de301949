"""The index step: a split of a dataset as tables, cut into shards.

Everything later works on the index, never on the layout: a bad path is found here, and an image
is the same image whatever reads it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace

import pyarrow as pa

from raypipe.config import DatasetConfig
from raypipe.datasets.base import ClassRecord, Dataset, ImageRecord, open_dataset
from raypipe.errors import InputError
from raypipe.progress import tracking
from raypipe.storage.location import Location
from raypipe.storage.run import Manifest, Plan, Run
from raypipe.tables import BOXES, CLASSES, IMAGES


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
    records = _labelled(_read(dataset, config, chosen), {item.name for item in chosen}, searched)
    if not records:
        raise InputError(
            f"{config.root or config.name}: no images in split {config.split!r}",
            "check --root, --split and the classes asked for",
        )
    run.reopen(plan.step)
    shards = _shards(records, config.shard_size)
    counts = Counter(name for record in records for name in record.classes)
    run.write(IMAGES, _images(shards), plan.step, "images.parquet")
    run.write(CLASSES, _classes(chosen, counts), plan.step, "classes.parquet")
    run.write(BOXES, _boxes(records, chosen), plan.step, "boxes.parquet")
    return run.finish(
        plan,
        {
            "images": len(records),
            "shards": len(shards),
            "classes": sum(counts[item.name] > 0 for item in chosen),
            "boxes": sum(len(record.boxes) for record in records),
        },
        {"dataset": config.name, "split": config.split, "content": _content(records)},
    )


def read_classes(run: Run, index_set: str) -> list[ClassRecord]:
    """Return the classes of an indexed set that have images in it, in the dataset's order."""
    rows = run.read(CLASSES, "index", index_set, "classes.parquet").to_pylist()
    return [
        ClassRecord(row["class"], row["title"], row["network_index"], row["mask_value"])
        for row in rows
        if row["images"]
    ]


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


def _read(
    dataset: Dataset, config: DatasetConfig, chosen: list[ClassRecord]
) -> Iterator[ImageRecord]:
    """Yield the split's records; beyond `limit` only those that a class still lacks."""
    names = {item.name for item in chosen}
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
    records: Iterator[ImageRecord], names: set[str], searched: tuple[str, ...]
) -> list[ImageRecord]:
    """Return the records with the labels to work on, sorted by first label, then by name.

    An image whose labels are all left out is left out too; an image that never had any stays.
    """
    kept = []
    seen: set[str] = set()
    for record in records:
        if record.image_id in seen:
            raise InputError(
                f"{record.image_id}: listed twice", "remove the second line from the split's list"
            )
        seen.add(record.image_id)
        labels = searched or tuple(name for name in record.classes if name in names)
        if labels or not record.classes:
            kept.append(replace(record, classes=labels))
    return sorted(kept, key=lambda record: (record.classes[:1], record.image_id))


def _shards(records: list[ImageRecord], size: int) -> list[list[ImageRecord]]:
    """Cut the records into shards of one class's images where that leaves no crumbs.

    A shard ends when it is full, or at the end of a class once it is half full.
    """
    shards: list[list[ImageRecord]] = []
    for record in records:
        last = shards[-1] if shards else []
        turn = bool(last) and last[-1].classes[:1] != record.classes[:1]
        if not last or len(last) >= size or (turn and 2 * len(last) >= size):
            shards.append([])
        shards[-1].append(record)
    return shards


def _content(records: list[ImageRecord]) -> str:
    """Hash what was listed, truth included: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(repr(record).encode())
    return digest.hexdigest()[:16]


def _images(shards: list[list[ImageRecord]]) -> pa.Table:
    seen: Counter[str] = Counter()
    rows = []
    for number, shard in enumerate(shards):
        content = "\n".join(f"{record.image_id}\t{record.uri}" for record in shard)
        name = f"{number:06d}-{hashlib.sha256(content.encode()).hexdigest()[:10]}"
        for record in shard:
            ordinals = [seen[label] for label in record.classes]
            seen.update(record.classes)
            rows.append(
                {
                    "image_id": record.image_id,
                    "uri": record.uri,
                    "classes": list(record.classes),
                    "ordinals": ordinals,
                    "mask_uri": record.mask_uri,
                    "shard": name,
                }
            )
    return IMAGES.build(rows)


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


def _boxes(records: list[ImageRecord], chosen: list[ClassRecord]) -> pa.Table:
    names = {item.name for item in chosen}
    rows = [
        dict(zip(BOXES.schema.names, (record.image_id, *astuple(box)), strict=True))
        for record in records
        for box in record.boxes
        if box.name in names
    ]
    return BOXES.build(rows)
