"""MSRC images with their maps, features and truth, localized once and kept below `runs/`.

Index and head come from the pipeline; maps, features and projection from the functions that its
extract step calls. Features are kept at *every* cell, so that regions and banks of any setting can
be drawn from them without running the network again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.data import ROOT, require_data_root, state_dict
from raypipe.config import Settings
from raypipe.datasets.index import class_sizes, read_classes
from raypipe.datasets.truth import ClassMask, IndexTruth
from raypipe.loading.shard import ReadShard, ShardImage
from raypipe.localizers.job import LocalizerJob
from raypipe.localizers.projection import Projection, random_directions
from raypipe.localizers.shard import LocalizedImage, ShardLocalizer, sizes
from raypipe.maps import Boxes, Floats
from raypipe.pipeline import Pipeline
from raypipe.resolve import resolve
from raypipe.storage.images import ShardReader, read_shards
from raypipe.storage.run import Run, fingerprint

Halves = npt.NDArray[np.float16]

RUNS = ROOT / "runs"

_SPLITS = ("val", "train")  # train last: it is what the run remembers


@dataclass(frozen=True, eq=False)
class Pair:
    """An image and one of its classes.

    Attributes:
        at: Place of the image in its set.
        name: The class.
        plain: (h, w) float32 foreground map.
        mask: True mask.
        boxes: (n, 4) true boxes.
    """

    at: int
    name: str
    plain: Floats
    mask: ClassMask
    boxes: Boxes

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image, pixels."""
        height, width = self.mask.inside.shape
        return height, width


@dataclass(frozen=True, eq=False)
class LocalizedSet:
    """The images of a split, sorted by name.

    Attributes:
        images: The images with their maps.
        pairs: A pair for each class an image holds.
        features: (images, h * w, d) float16 as the pipeline stores them; on disk, mapped.
        class_sizes: Images of each class.
    """

    images: tuple[LocalizedImage, ...]
    pairs: tuple[Pair, ...]
    features: Halves
    class_sizes: dict[str, int]

    def vectors(self, at: int, cells: npt.NDArray[np.intp]) -> Floats:
        """Return (n, d) float32 features of an image at (n, 2) rows and columns."""
        width = self.images[at].maps.shape[2]
        rows = self.features[at][cells[:, 0] * width + cells[:, 1]]
        return np.asarray(rows, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Localized:
    """Both splits of MSRC, by one layer and seed.

    Attributes:
        train: What is learned from.
        val: What is refined.
        seed: Of the projection and of the sampling.
        place: Where results may be kept.
    """

    train: LocalizedSet
    val: LocalizedSet
    seed: int
    place: Path


def localized(layer: str = "layer3", seed: int = 0, runs: Path = RUNS) -> Localized:
    """Return both splits; localize them unless that was done before.

    Args:
        layer: Mid-level layer of ResNet-50.
        seed: Of the projection, as `extract.seed`.
        runs: Folder of the run and of what is kept.
    """
    localize(layer, [seed], runs)
    place = _place(settings_of(layer, runs), seed, runs)
    return Localized(_load(place, "train"), _load(place, "val"), seed, place)


def localize(layer: str, seeds: Sequence[int], runs: Path = RUNS) -> None:
    """Run the network over both splits, once for all seeds that are not there yet.

    Args:
        layer: Mid-level layer of ResNet-50.
        seeds: Of the projections.
        runs: Folder of the run and of what is kept.
    """
    settings = settings_of(layer, runs)
    places = {seed: _place(settings, seed, runs) for seed in seeds}
    left = {seed: place for seed, place in places.items() if not _complete(place)}
    if not left:
        return
    run = fitted(runs)
    job = LocalizerJob.of(run, settings.localizer, read_classes(run, "train"))
    network = ShardLocalizer(job)
    size, width = sizes(job)
    dimensions = settings.extract.dimensions
    projections = {
        seed: Projection(random_directions(width, dimensions, seed), network.device)
        for seed in left
    }
    for split in _SPLITS:
        reader = ReadShard(ShardReader.of(run, split), size, settings.engine.max_pixels)
        images: list[LocalizedImage] = []
        features: dict[int, list[Halves]] = {seed: [] for seed in left}
        for row in read_shards(run, split).to_pylist():
            for batch in network.run(reader.decoded(row), []):
                images += batch.items
                for at in range(len(batch.items)):
                    vectors = batch.features[at].flatten(1).T
                    for seed, project in projections.items():
                        features[seed].append(project(vectors).cpu().numpy().astype(np.float16))
        order = sorted(range(len(images)), key=lambda at: images[at].image.image_id)
        for seed, place in left.items():
            place.mkdir(parents=True, exist_ok=True)
            np.save(place / f"{split}-features.npy", [features[seed][at] for at in order])
            _save(run, split, [images[at] for at in order], place)


def settings_of(layer: str, runs: Path) -> Settings:
    return resolve(None, _flags(layer, "train", runs))[1]


def _flags(layer: str, split: str, runs: Path) -> dict[str, Any]:
    return {
        "run": str(runs / "ablation"),
        "dataset": {"name": "voc", "root": str(require_data_root() / "msrc_v2"), "split": split},
        "localizer": {
            "architecture": "resnet50",
            "weights": str(state_dict("resnet50")),
            "layer": layer,
        },
        "fit": {"every_class": True},
    }


def _place(settings: Settings, seed: int, runs: Path) -> Path:
    """Return the folder of a layer and seed, named by all that its content follows from."""
    said = {
        "localizer": settings.localizer.identity() | {"weights": ""},
        "fit": settings.fit.identity(),
        "dimensions": settings.extract.dimensions,
    }
    layer = settings.localizer.layer
    return runs / "ablation-cache" / f"{layer}-{seed}-{fingerprint(said, {})[:8]}"


def _complete(place: Path) -> bool:
    return all((place / f"{split}.npz").exists() for split in _SPLITS)


def fitted(runs: Path) -> Run:
    """Index both splits and fit the head."""
    for split in _SPLITS:
        # The head sees the pooled last block, whatever the layer of the regions: one for all.
        with Pipeline(*resolve(None, _flags("", split, runs))) as pipeline:
            pipeline.index()
            if split == "train":
                pipeline.fit()
            run = pipeline.run
    return run


def _save(run: Run, split: str, images: Sequence[LocalizedImage], place: Path) -> None:
    """Keep a split, its features left out: they lie by themselves, so that they can be mapped."""
    truth = IndexTruth.of(run, split)
    facts, masks = [], []
    for item in images:
        names = item.classes
        facts.append(asdict(item.image) | {
            "shape": item.maps.shape,
            "boxes": [truth.boxes(item.image.image_id, name).tolist() for name in names],
        })  # fmt: skip
        for name in names:
            mask = truth.mask(item.image.image_id, name)
            if mask is None:
                raise ValueError(f"{item.image.image_id}: no mask of {name}")
            masks.append(np.packbits(np.stack([mask.inside, mask.valid])))
    written = place / f"{split}.part.npz"
    np.savez_compressed(
        written,
        facts=np.array(json.dumps(facts)),
        sizes=np.array(json.dumps(class_sizes(run, split))),
        maps=np.concatenate([item.maps.ravel() for item in images]),
        masks=np.concatenate(masks),
    )
    written.rename(place / f"{split}.npz")


def _load(place: Path, split: str) -> LocalizedSet:
    """Read what `_save` wrote."""
    with np.load(place / f"{split}.npz") as stored:
        facts, sizes = json.loads(str(stored["facts"])), json.loads(str(stored["sizes"]))
        maps, masks = stored["maps"], stored["masks"]
    images: list[LocalizedImage] = []
    pairs: list[Pair] = []
    for fact in facts:
        shape, all_boxes = fact.pop("shape"), fact.pop("boxes")
        image = ShardImage.of(fact)
        own, maps = np.split(maps, [int(np.prod(shape))])
        item = LocalizedImage(
            image,
            image.classes,
            own.reshape(shape),
            np.full(shape[0], np.nan, np.float32),
            np.full(shape[0], np.nan, np.float32),
            np.zeros(shape[0], np.int32),
        )
        pixels = image.height * image.width
        for name, grid, boxes in zip(item.classes, item.maps, all_boxes, strict=True):
            bits, masks = np.split(masks, [-(-2 * pixels // 8)])
            planes = np.unpackbits(bits, count=2 * pixels).astype(bool)
            inside, valid = planes.reshape(2, image.height, image.width)
            true = np.array(boxes, dtype=np.float64).reshape(-1, 4)
            pairs.append(Pair(len(images), name, grid, ClassMask(inside, valid), true))
        images.append(item)
    features = np.load(place / f"{split}-features.npy", mmap_mode="r")
    return LocalizedSet(tuple(images), tuple(pairs), features, sizes)
