"""What a dataset is: classes, and images with image-level labels (and truth, where there is any).

A dataset reads a layout; it knows nothing of runs, tables or Ray. To add one, write a class with
`Dataset`'s two methods whose constructor takes `(config, root)`, and register it under the entry
point group `raypipe.datasets`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from raypipe import plugins
from raypipe.config import DatasetConfig, dataset_root
from raypipe.errors import InputError
from raypipe.storage.location import Location

VOID = 255
"""Pixel value in a mask that belongs to no class and counts for nothing (PASCAL VOC)."""


@dataclass(frozen=True)
class ClassRecord:
    """A class of a dataset.

    Attributes:
        name: Name used everywhere in a run.
        title: Name for people.
        network_index: Output of every ILSVRC-2012 classifier for it, if it is one of those.
        mask_value: Its pixel value in the dataset's masks, if there are masks.
    """

    name: str
    title: str = ""
    network_index: int | None = None
    mask_value: int | None = None


@dataclass(frozen=True)
class Box:
    """A ground-truth box: pixels of the original image, end exclusive."""

    name: str
    x0: float
    y0: float
    x1: float
    y1: float
    difficult: bool = False


@dataclass(frozen=True)
class ImageRecord:
    """An image: where it is and what is known of it.

    Attributes:
        image_id: Stable name, unique in its split.
        uri: Path or URI of the encoded image.
        classes: Image-level labels, in the dataset's class order; may be empty.
        boxes: Ground truth, empty where there is none.
        mask_uri: PNG of class numbers, 255 = void, or None.
        group: Images of one group are put into the same shards, because they are read together;
            empty = the first label, which suits images that can be read one by one.
    """

    image_id: str
    uri: str
    classes: tuple[str, ...]
    boxes: tuple[Box, ...] = ()
    mask_uri: str | None = None
    group: str = ""


class Dataset(Protocol):
    """A layout of labelled images."""

    def classes(self) -> list[ClassRecord]:
        """Return the classes, in the dataset's order."""
        ...

    def images(self, split: str) -> Iterator[ImageRecord]:
        """Yield the images of a split, in a stable order.

        Raises:
            InputError: If the split is not there.
        """
        ...


def open_dataset(config: DatasetConfig) -> Dataset:
    """Open the dataset that the configuration names.

    Raises:
        ConfigError: If the plug-in is unknown or no root is given.
        InputError: If the root is not there or is not of that layout.
    """
    factory = plugins.find("raypipe.datasets", config.name)
    dataset: Dataset = factory(config, Location.of(dataset_root(config.name, config.root)))
    return dataset


def require_dir(place: Location, what: str) -> Location:
    """Return the place if it is a directory.

    Raises:
        InputError: If it is not.
    """
    if not place.is_dir():
        state = "is not a directory" if place.exists() else "not found"
        raise InputError(f"{place}: {state} ({what})", "check --root")
    return place
