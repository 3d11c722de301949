"""What an export writes: images with their detections, read shard by shard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.errors import InputError
from raypipe.storage.detections import detection_rows
from raypipe.storage.images import ShardReader, read_shards, uris
from raypipe.storage.parts import Parts
from raypipe.storage.run import Run, slug
from raypipe.tables import CLASSES, DETECTIONS, MASKS


@dataclass(frozen=True)
class ExportDetection:
    """One class in one image.

    Attributes:
        name: The class.
        boxes: (n, 4) float64, x0 y0 x1 y1, pixels, end exclusive.
        score: The network's image-level score of the class.
        counts: Mask as COCO's compressed run lengths, or None.
        map: (h, w) float32, scores in 0..1.
    """

    name: str
    boxes: npt.NDArray[np.float64]
    score: float
    counts: bytes | None
    map: npt.NDArray[np.float32]


@dataclass(frozen=True)
class ExportImage:
    """One image.

    Attributes:
        image_id: Its name.
        uri: Where it lies.
        width: Pixels.
        height: Pixels.
        detections: One a class.
    """

    image_id: str
    uri: str
    width: int
    height: int
    detections: tuple[ExportDetection, ...]


@dataclass(frozen=True)
class Source:
    """The detections of a refined set by one rule; small.

    Attributes:
        run: The run directory.
        target_set: Name of the set below `index/` and `refine/`.
        rule: As in the detections table; empty = the first that was refined with.
        masks: With the masks that were drawn of it.
    """

    run: Run
    target_set: str
    rule: str = ""
    masks: bool = False

    def classes(self) -> list[tuple[str, str]]:
        """Return name, and name for people, of every class, in the dataset's order."""
        table = self.run.read(CLASSES, "index", self.target_set, "classes.parquet")
        return list(zip(table["class"].to_pylist(), table["title"].to_pylist(), strict=True))

    def chosen(self) -> str:
        """Return the rule.

        Raises:
            InputError: If the set was not refined by it.
        """
        rules = ["plain", *self.run.require(f"refine/{self.target_set}").details["rules"]]
        rule = self.rule or rules[1]
        if rule not in rules:
            raise InputError(
                f"{self.run}: set {self.target_set} has no detections by rule {rule}",
                f"its rules are {', '.join(rules)}",
            )
        return rule

    def images(self) -> Iterator[ExportImage]:
        """Yield the images that have detections, one shard in memory at a time.

        Images that were rejected have none, and no known size: they are left out.

        Raises:
            InputError: If the set was not refined by the rule, a file cannot be read, or masks are
                to be written that were not drawn.
        """
        rule = self.chosen()
        masks = self._masks(rule)
        detections = Parts.of(
            self.run, self.run.require(f"refine/{self.target_set}"), DETECTIONS.name
        )
        reader, done = ShardReader.of(self.run, self.target_set), detections.done()
        for shard in read_shards(self.run, self.target_set).to_pylist():
            if slug(shard["shard"]) not in done:
                continue
            rows = detections.rows(DETECTIONS, shard["shard"])
            rows = rows.filter(pc.equal(rows["rule"], rule))
            index = reader.read(shard["shard"], shard["part"])
            drawn = {} if masks is None else _counts(masks, shard["shard"], rule)
            yield from _of_shard(rows, uris(index), drawn)

    def _masks(self, rule: str) -> Parts | None:
        """Return the files of the masks, or None if none are asked for."""
        if not self.masks:
            return None
        manifest = self.run.require(f"masks/{self.target_set}")
        if rule not in manifest.config["rules"]:
            raise InputError(
                f"{self.run}: no masks of set {self.target_set} by rule {rule}",
                f"draw them with `raypipe masks --rule {rule} --run {self.run}`",
            )
        return Parts.of(self.run, manifest, MASKS.name)


def _counts(masks: Parts, shard: str, rule: str) -> dict[tuple[str, str], bytes]:
    """Return the masks of a shard as run lengths, by image and class."""
    rows = masks.rows(MASKS, shard)
    rows = rows.filter(pc.equal(rows["rule"], rule))
    pairs = zip(rows["image_id"].to_pylist(), rows["class"].to_pylist(), strict=True)
    return dict(zip(pairs, rows["counts"].to_pylist(), strict=True))


def _of_shard(
    rows: pa.Table, places: Mapping[str, str], counts: Mapping[tuple[str, str], bytes]
) -> Iterator[ExportImage]:
    """Yield the images of one shard's rows, which come sorted by image."""
    for image_id, items in groupby(detection_rows(rows), key=itemgetter("image_id")):
        own = list(items)
        found = tuple(
            ExportDetection(
                row["class"], row["boxes"], row["score"], counts.get((image_id, row["class"])),
                row["map"],
            )
            for row in own
        )  # fmt: skip
        yield ExportImage(image_id, places[image_id], own[0]["width"], own[0]["height"], found)
