"""What a task of the evaluation needs, and what it does: measure one shard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.config import Settings
from raypipe.datasets.filetruth import FileTruth
from raypipe.datasets.truth import IndexTruth, Truth
from raypipe.errors import ConfigError, InputError
from raypipe.evaluate.fitting import Size
from raypipe.evaluate.measure import measure
from raypipe.evaluate.othermaps import OtherMaps, image_size
from raypipe.evaluate.predictions import (
    PLAIN,
    Detections,
    Masks,
    Pair,
    Source,
    ranks,
    read_predictions,
)
from raypipe.storage.blob import read_blob
from raypipe.storage.images import ShardReader, uris
from raypipe.storage.location import Location
from raypipe.storage.parts import Parts
from raypipe.storage.run import Plan, Run, fingerprint
from raypipe.tables import CLASSES, DETECTIONS, MASKS, METRICS, OVERLAPS, PIXELS

_CRF = "+crf"
"""Behind a rule: its masks as a CRF drew them."""


@dataclass(frozen=True)
class Written:
    """The tables that a set is measured into; small and picklable.

    Attributes:
        metrics_parts: Files of `metrics`; written last, so that a shard with one is done.
        pixels_parts: Files of `pixels`.
        overlaps_parts: Files of `overlaps`.
    """

    metrics_parts: Parts
    pixels_parts: Parts
    overlaps_parts: Parts

    @classmethod
    def of(cls, run: Run, step: Plan) -> Written:
        """Return the tables of a step."""
        return cls(*(Parts(run, step, table.name) for table in (METRICS, PIXELS, OVERLAPS)))

    def metrics(self, shard: str) -> pa.Table:
        """Return a shard's rows of `metrics`."""
        return self.metrics_parts.rows(METRICS, shard)

    def pixels(self, shard: str) -> pa.Table:
        """Return a shard's rows of `pixels`."""
        return self.pixels_parts.rows(PIXELS, shard)

    def overlaps(self, shard: str) -> pa.Table:
        """Return a shard's rows of `overlaps`."""
        return self.overlaps_parts.rows(OVERLAPS, shard)

    def write(self, shard: str, metrics: pa.Table, pixels: pa.Table, overlaps: pa.Table) -> None:
        """Write a shard's tables."""
        self.pixels_parts.place(shard).write_table(pixels)
        self.overlaps_parts.place(shard).write_table(overlaps)
        self.metrics_parts.place(shard).write_table(metrics)

    def remove_others(self) -> None:
        """Delete what another configuration wrote."""
        for parts in (self.metrics_parts, self.pixels_parts, self.overlaps_parts):
            parts.remove_others()


@dataclass(frozen=True)
class Work:
    """What a task needs to measure a shard; small and picklable.

    Attributes:
        index: Images and boxes of the set.
        classes: Rows of its classes table.
        detections: Files of the detections, None for a set that is not refined.
        refined: Rules of the detections, `plain` first; none without.
        masks: Files of the masks that a CRF drew, or None.
        drawn: Rules that it drew.
        maps: Other methods' maps by name.
        predictions: Rows image_id, class, rank; None: the network's own ranks.
        annotations: Rows of `tables.TRUTH` instead of the index's truth, or None.
        mask_threshold: A pixel is predicted above this share of its map's maximum.
        written: Where it goes.
    """

    index: ShardReader
    classes: pa.Table
    detections: Parts | None
    refined: tuple[str, ...]
    masks: Parts | None
    drawn: tuple[str, ...]
    maps: Mapping[str, OtherMaps]
    predictions: pa.Table | None
    annotations: pa.Table | None
    mask_threshold: float
    written: Written

    @classmethod
    def of(
        cls, run: Run, settings: Settings, step: Plan, target_set: str, annotations: pa.Table | None
    ) -> Work:
        """Put together what is to be measured.

        Raises:
            ConfigError: If other maps are called as a rule is.
            InputError: If a file that was given is not there or cannot be read.
        """
        config, target = settings.evaluate, settings.target
        detections, refined = None, ()
        if "refine" in step.upstream:
            refine = run.require(f"refine/{target_set}")
            detections = Parts.of(run, refine, DETECTIONS.name)
            refined = (PLAIN, *refine.details["rules"])
        masks, drawn = None, ()
        if "masks" in step.upstream:
            manifest = run.require(f"masks/{target_set}")
            masks, drawn = Parts.of(run, manifest, MASKS.name), tuple(manifest.config["rules"])
        maps = {name: OtherMaps(path, config.box_threshold) for name, path in target.maps.items()}
        for name, other in maps.items():
            if name in refined:
                raise ConfigError(f"--maps {name}: a rule is called so", "choose another name")
            other.check()
        classes = run.read(CLASSES, "index", target_set, "classes.parquet")
        return cls(
            ShardReader.of(run, target_set), classes, detections, refined, masks, drawn, maps,
            read_predictions(target.predictions) if target.predictions else None,
            annotations,
            config.mask_threshold, Written.of(run, step),
        )  # fmt: skip

    @property
    def rules(self) -> tuple[str, ...]:
        """Everything that is judged, the rule that others are compared with first."""
        return (*self.refined, *(f"{rule}{_CRF}" for rule in self.drawn), *self.maps)

    def truth(self, images: pa.Table, part: str) -> Truth:
        """Return the truth of some images of a part of the index."""
        if self.annotations is None:
            return IndexTruth(images, self.index.boxes(images, part), self.classes)
        own = pc.is_in(self.annotations["image_id"], images["image_id"].combine_chunks())
        return FileTruth(self.annotations.filter(own), self.classes["class"].to_pylist())

    def detected(self, shard: str) -> pa.Table:
        """Return a shard's detections; none where all its images were rejected."""
        return self.detections.rows(DETECTIONS, shard) if self.detections else DETECTIONS.build([])


def measure_shard(row: Mapping[str, Any], work: Work) -> int:
    """Measure one shard in a task; return its rows."""
    shard, part = row["shard"], row["part"]
    images = work.index.read(shard, part)
    truth = work.truth(images, part)
    judged = sources(work, shard, images, truth)
    measured = measure(
        images.to_pylist(), judged, truth, work.mask_threshold, _ranks(work.predictions, images)
    )
    work.written.write(shard, *measured.tables())
    return len(measured.rows)


def sources(work: Work, shard: str, images: pa.Table, truth: Truth) -> dict[str, Source]:
    """Return what is judged of a shard, by rule."""
    rows = work.detected(shard)
    sizes = {
        image: (width, height)
        for image, width, height in zip(
            *(rows[name].to_pylist() for name in ("image_id", "width", "height")), strict=True
        )
    }
    places = uris(images)

    def look(image_id: str) -> Size | None:
        return _size_of_file(places[image_id]) or truth.size(image_id)

    found: dict[str, Source] = {rule: Detections(rows, rule) for rule in work.refined}
    if work.masks is not None:
        drawn = work.masks.rows(MASKS, shard)
        found |= {f"{rule}{_CRF}": Masks(drawn, rule) for rule in work.drawn}
    for name, maps in work.maps.items():
        found[name] = maps.open(list(places), sizes, look)
    return found


def _size_of_file(uri: str) -> Size | None:
    try:
        return image_size(read_blob(uri))
    except InputError:
        return None  # it cannot be judged, and is counted as missing


def _ranks(predictions: pa.Table | None, images: pa.Table) -> Mapping[Pair, int] | None:
    if predictions is None:
        return None
    wanted = images["image_id"].combine_chunks()
    return ranks(predictions.filter(pc.is_in(predictions["image_id"], wanted)))


def stamp(path: str) -> str:
    """Return what changes when a file or a folder is written anew: names, sizes, times.

    Args:
        path: Path or URI; one that is not there has a stamp, too.
    """
    place = Location.of(path)
    found = [place.filesystem.get_file_info(place.path)]
    if found[0].is_file is False:
        found += place.entries()
    listed = sorted(f"{info.base_name} {info.size} {info.mtime_ns}" for info in found)
    return fingerprint({"files": listed}, {})
