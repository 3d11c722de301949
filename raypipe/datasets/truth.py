"""Ground truth of a set: boxes from its table, masks decoded from their PNGs.

Only `evaluate` and the simulated annotator look at it; nothing that makes a detection does.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from raypipe.columns import SIDES
from raypipe.datasets.base import VOID
from raypipe.errors import InputError
from raypipe.maps import Doubles
from raypipe.storage.images import read_boxes, read_images
from raypipe.storage.location import Location
from raypipe.storage.run import Run
from raypipe.tables import CLASSES

Labels = npt.NDArray[np.int16]

UNKNOWN = -1
"""Void, in a map of labels."""


@dataclass(frozen=True)
class ClassMask:
    """The pixels of one class in one image.

    Attributes:
        inside: (height, width) bool, pixels of the class.
        valid: (height, width) bool, false where the truth is void.
    """

    inside: npt.NDArray[np.bool_]
    valid: npt.NDArray[np.bool_]


class Truth(Protocol):
    """What is known of a set's images, wherever it was read from."""

    def boxes(self, image_id: str, name: str) -> Doubles:
        """Return the boxes of a class: (n, 4) float64, x0 y0 x1 y1, pixels, end exclusive."""

    def mask(self, image_id: str, name: str) -> ClassMask | None:
        """Return the mask of a class, or None if the image or the class has none."""

    def labels(self, image_id: str) -> Labels | None:
        """Return the class of each pixel, or None for an image without masks.

        Returns:
            (height, width) int16: 0 = background, n = the n-th of `names`, UNKNOWN = void.
        """

    def size(self, image_id: str) -> tuple[int, int] | None:
        """Return width and height of the image as its truth has them, or None if it says none."""

    def present(self, image_id: str) -> set[str]:
        """Return the classes that have a box or pixels in an image."""

    @property
    def names(self) -> tuple[str, ...]:
        """The classes, in the dataset's order."""

    @property
    def framed(self) -> bool:
        """Whether boxes are in the frame of `size`, too, and not always in the image's own."""


class IndexTruth:
    """The ground truth that a set was indexed with.

    Args:
        images: Rows of the images table.
        boxes: Rows of the boxes table, of these images at least.
        classes: Rows of the classes table.
    """

    framed = False

    def __init__(self, images: pa.Table, boxes: pa.Table, classes: pa.Table) -> None:
        uris = zip(images["image_id"].to_pylist(), images["mask_uri"].to_pylist(), strict=True)
        self._mask_uris: dict[str, str] = {image: uri for image, uri in uris if uri is not None}
        self.names: tuple[str, ...] = tuple(classes["class"].to_pylist())
        values = zip(self.names, classes["mask_value"].to_pylist(), strict=True)
        self._values: dict[str, int] = {name: value for name, value in values if value is not None}
        self._codes = np.zeros(256, np.int16)  # by value of a pixel
        self._codes[VOID] = UNKNOWN
        for place, name in enumerate(self.names, start=1):
            if name in self._values:
                self._codes[self._values[name]] = place
        self._boxes = boxes_by_pair(boxes)
        self._boxed: dict[str, list[str]] = {}
        for image, name in self._boxes:
            self._boxed.setdefault(image, []).append(name)
        self._last: tuple[str, npt.NDArray[np.uint8]] | None = None

    @classmethod
    def of(cls, run: Run, index_set: str) -> IndexTruth:
        """Return the truth of a whole indexed set.

        Args:
            run: The run directory.
            index_set: Name of the set below `index/`.
        """
        images = read_images(run, index_set, ["image_id", "mask_uri"])
        classes = run.read(CLASSES, "index", index_set, "classes.parquet")
        return cls(images, read_boxes(run, index_set), classes)

    def boxes(self, image_id: str, name: str) -> Doubles:
        """Return the boxes of a class: (n, 4) float64, x0 y0 x1 y1, pixels, end exclusive."""
        return corners(self._boxes, image_id, name)

    def mask(self, image_id: str, name: str) -> ClassMask | None:
        """Return the mask of a class, or None if the image or the class has none.

        Raises:
            InputError: If the mask cannot be decoded.
        """
        values = self._decoded(image_id) if name in self._values else None
        if values is None:
            return None
        return ClassMask(values == self._values[name], values != VOID)

    def labels(self, image_id: str) -> Labels | None:
        """Return the class of each pixel, or None for an image without a mask.

        Values of no class of the set are background.

        Returns:
            (height, width) int16: 0 = background, n = the n-th of `names`, UNKNOWN = void.

        Raises:
            InputError: If the mask cannot be decoded.
        """
        values = self._decoded(image_id)
        return None if values is None else self._codes[values]

    def size(self, image_id: str) -> tuple[int, int] | None:
        """Return width and height of the image's mask, pixels, or None without one."""
        values = self._decoded(image_id)
        return None if values is None else (values.shape[1], values.shape[0])

    def present(self, image_id: str) -> set[str]:
        """Return the classes that have a box or pixels in an image."""
        values = self._decoded(image_id)
        found = set(self._boxed.get(image_id, ()))
        if values is not None:
            counts = Image.fromarray(values).histogram()  # a fifth of np.bincount's time
            codes = self._codes[np.flatnonzero(counts)]
            found.update(self.names[code - 1] for code in codes[codes > 0].tolist())
        return found

    def _decoded(self, image_id: str) -> npt.NDArray[np.uint8] | None:
        uri = self._mask_uris.get(image_id)
        if uri is None:
            return None
        if self._last is None or self._last[0] != image_id:  # an image's classes come together
            self._last = (image_id, _decode(uri))
        return self._last[1]


Pairs = Mapping[tuple[str, str], list[list[float]]]


def boxes_by_pair(rows: pa.Table) -> dict[tuple[str, str], list[list[float]]]:
    """Return the corners of all boxes of an image and class.

    Args:
        rows: With columns image_id, class, x0, y0, x1, y1.
    """
    found: dict[tuple[str, str], list[list[float]]] = {}
    sides = [rows[side].to_pylist() for side in SIDES]
    pairs = zip(rows["image_id"].to_pylist(), rows["class"].to_pylist(), strict=True)
    for pair, *box in zip(pairs, *sides, strict=True):
        found.setdefault(pair, []).append(box)
    return found


def corners(boxes: Pairs, image_id: str, name: str) -> Doubles:
    """Return a pair's boxes as (n, 4) float64."""
    return np.array(boxes.get((image_id, name), []), dtype=np.float64).reshape(-1, 4)


def mask_image(uri: str) -> Image.Image:
    """Return a mask's image, decoded.

    Raises:
        InputError: If it is not there or cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(Location.of(uri).read_bytes())) as image:
            image.load()
            return image
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise InputError(f"{uri}: the mask cannot be decoded ({error})", "restore it") from None


def _decode(uri: str) -> npt.NDArray[np.uint8]:
    """Return a palette or grey PNG's values, (height, width) uint8."""
    image = mask_image(uri)
    if image.mode not in {"P", "L"}:
        raise InputError(
            f"{uri}: a mask must be a palette or grey PNG, this one is {image.mode}",
            "write class numbers, not colours",
        )
    return np.asarray(image, dtype=np.uint8)
