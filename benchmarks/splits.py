"""Splits of the MSRC protocol: what is learned from, and what is refined.

Train and val; or, to choose constants without a look at val, four fifths of train and the last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.localized import RUNS, Localized, LocalizedSet, Pair, localized
from raypipe.config import ExtractConfig
from raypipe.datasets.truth import ClassMask
from raypipe.extract.regions import RegionSample, regions_of
from raypipe.maps import Floats

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Regions:
    """The regions of one class that a split learns from, sorted as `storage.regions` does.

    Attributes:
        images: (n,) place of each foreground region's image in train.
        cells: (n, 2) row and column.
        features: (n, d) float32, rows of length 1, as stored.
        on_class: (n,) 1 where the cell's centre lies on the class's mask, 0 off it, NaN in void.
        bank: (m, d) float32 features of the background bank.
    """

    images: npt.NDArray[np.intp]
    cells: npt.NDArray[np.intp]
    features: Floats
    on_class: Doubles
    bank: Floats


@dataclass(frozen=True, eq=False)
class Split:
    """What is learned from, and what is refined.

    Attributes:
        held: What is refined: `val`, or a fold.
        name: The same with a hash of what is learned from, for what is kept on disk.
        regions: By class.
        pairs: Images and classes to refine.
        cells: The set that the pairs belong to.
        place: Folder for the nearest references.
    """

    held: str
    name: str
    regions: Mapping[str, Regions]
    pairs: tuple[Pair, ...]
    cells: LocalizedSet
    place: Path

    @property
    def features(self) -> dict[str, Floats]:
        """The (n, d) foreground features of each class: what there is to cluster."""
        return {name: own.features for name, own in self.regions.items()}

    def pairs_of(self, name: str) -> list[Pair]:
        """Return the pairs of one class."""
        return [pair for pair in self.pairs if pair.name == name]


def prepare(layer: str = "layer3", seed: int = 0, runs: Path = RUNS) -> Localized:
    """Return both splits of MSRC, localized; minutes the first time, a second after that."""
    return localized(layer, seed, runs)


def val_split(data: Localized, config: ExtractConfig | None = None) -> Split:
    """Return the protocol's own split: learn from train, refine val.

    Args:
        data: What `prepare` returned.
        config: Thresholds and quotas of the regions; its seed is the data's.
    """
    everything = np.arange(len(data.train.images))
    return _split(data, "val", everything, data.val, data.val.pairs, config)


def folds(
    data: Localized, fold_seed: int = 0, count: int = 5, config: ExtractConfig | None = None
) -> list[Split]:
    """Part train into folds: each is refined by the regions of the others.

    Images are dealt class by class, so that every class is in every fold.

    Args:
        data: What `prepare` returned.
        fold_seed: Of the parting.
        count: Number of folds.
        config: As in `val_split`.
    """
    shuffled = np.random.default_rng(fold_seed).permutation(len(data.train.images))
    main = np.array([data.train.images[at].classes[0] for at in shuffled])
    shuffled = shuffled[np.argsort(main, kind="stable")]
    splits = []
    for number in range(count):
        held = shuffled[number::count]
        pairs = tuple(pair for pair in data.train.pairs if pair.at in set(held.tolist()))
        own = np.setdiff1d(shuffled, held)
        name = f"fold-{fold_seed}-{number}-of-{count}"
        splits.append(_split(data, name, own, data.train, pairs, config))
    return splits


def _split(
    data: Localized,
    held: str,
    own: npt.NDArray[np.intp],
    cells: LocalizedSet,
    pairs: tuple[Pair, ...],
    config: ExtractConfig | None,
) -> Split:
    """Draw the regions of some train images, as the extract step does."""
    config = (config or ExtractConfig()).model_copy(update={"seed": data.seed})
    said = f"{config.model_dump_json()} {own.tolist()}"
    digest = hashlib.sha256(said.encode()).hexdigest()[:8]
    found: dict[str, list[tuple[int, RegionSample]]] = {name: [] for name in data.train.class_sizes}
    for at in own.tolist():
        for sample in regions_of(data.train.images[at], data.train.class_sizes, config):
            found[sample.name].append((at, sample))
    masks = {(pair.at, pair.name): pair.mask for pair in data.train.pairs}
    regions = {
        name: _regions(data.train, samples, masks) for name, samples in found.items() if samples
    }
    return Split(held, f"{held}-{digest}", regions, pairs, cells, data.place)


def _regions(
    train: LocalizedSet,
    samples: list[tuple[int, RegionSample]],
    masks: Mapping[tuple[int, str], ClassMask],
) -> Regions:
    """Put the samples of one class together."""
    front = [(at, sample) for at, sample in samples if not sample.background]
    back = [(at, sample) for at, sample in samples if sample.background]
    on_class = [
        _on_class(sample.cells, train.images[at].maps.shape[1:], masks[at, sample.name])
        for at, sample in front
    ]
    return Regions(
        images=np.repeat([at for at, _ in front], [len(sample.cells) for _, sample in front]),
        cells=np.concatenate([sample.cells for _, sample in front]),
        features=np.concatenate([train.vectors(at, sample.cells) for at, sample in front]),
        on_class=np.concatenate(on_class),
        bank=np.concatenate([train.vectors(at, sample.cells) for at, sample in back]),
    )


def _on_class(cells: npt.NDArray[np.intp], grid: tuple[int, ...], mask: ClassMask) -> Doubles:
    """Say of each cell whether its centre lies on the class, as `annotate.simulate.hits`."""
    rows, cols = ((cells + 0.5) / grid * mask.inside.shape).astype(np.intp).T
    return np.where(mask.valid[rows, cols], mask.inside[rows, cols].astype(np.float64), np.nan)
