"""What an export writes: images with their detections, read shard by shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raypipe import rle
from raypipe.config import MasksConfig
from raypipe.errors import InputError
from raypipe.masks.thresholds import threshold_masks
from raypipe.progress import say
from raypipe.storage.blob import read_blob
from raypipe.storage.images import ShardReader, read_shards
from raypipe.storage.parts import Parts
from raypipe.storage.run import Run, slug
from raypipe.tables import CLASSES, DETECTIONS


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
        masks: How masks are made, or None for none.
        max_pixels: The random field looks at no larger images: they get the threshold's masks.
    """

    run: Run
    target_set: str
    rule: str = ""
    masks: MasksConfig | None = None
    max_pixels: int = 100_000_000

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
            InputError: If the set was not refined by the rule, or a file cannot be read.
        """
        rule = self.chosen()
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
            uris = dict(zip(index["image_id"].to_pylist(), index["uri"].to_pylist(), strict=True))
            yield from self._of_shard(rows, uris)

    def _of_shard(self, rows: pa.Table, uris: dict[str, str]) -> Iterator[ExportImage]:
        """Yield the images of one shard's rows, which come sorted by image."""
        maps = rows["map"]
        light = rows.drop_columns(["map"]).to_pylist()
        numbered = groupby(enumerate(light), key=lambda item: item[1]["image_id"])
        for image_id, items in numbered:
            own = list(items)
            grids = [
                maps[place].values.to_numpy(zero_copy_only=False).astype(np.float32)
                .reshape(row["grid_height"], row["grid_width"])
                for place, row in own
            ]  # fmt: skip
            width, height, uri = own[0][1]["width"], own[0][1]["height"], uris[image_id]
            counts = self._counts(grids, uri, height, width)
            found = tuple(
                _detection(row, grid, mask)
                for (_, row), grid, mask in zip(own, grids, counts, strict=True)
            )
            yield ExportImage(image_id, uri, width, height, found)

    def _counts(
        self, grids: list[npt.NDArray[np.float32]], uri: str, height: int, width: int
    ) -> Sequence[bytes | None]:
        """Return the masks of an image's maps as run lengths."""
        if self.masks is None:
            return [None] * len(grids)
        image = self._pixels(uri, height, width) if self.masks.crf else None
        if image is None:
            made = threshold_masks(grids, height, width, self.masks.threshold)
        else:
            from raypipe.masks.masks import crf_masks  # torch: only where it is asked for

            made = crf_masks(grids, image, self.masks)
        return [rle.encode(mask) for mask in made]

    def _pixels(self, uri: str, height: int, width: int) -> npt.NDArray[np.uint8] | None:
        """Return an image's pixels; None, and a line, if it is not what was refined any more."""
        from raypipe.loading.decode import RejectedError, decode_whole

        try:
            pixels = decode_whole(read_blob(uri), self.max_pixels)
        except (InputError, RejectedError) as error:
            say(f"{uri}: its masks are the threshold's ({error})")
            return None
        if pixels.shape[:2] != (height, width):
            say(f"{uri}: its masks are the threshold's (its size has changed)")
            return None
        return pixels


def _detection(
    row: dict[str, Any], grid: npt.NDArray[np.float32], counts: bytes | None
) -> ExportDetection:
    boxes = [[box[side] for side in ("x0", "y0", "x1", "y1")] for box in row["boxes"]]
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    return ExportDetection(row["class"], corners, row["score"], counts, grid)
