"""Ground truth that was read from a file beside the dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from raypipe import rle
from raypipe.columns import box_array
from raypipe.datasets.truth import UNKNOWN, ClassMask, Labels, mask_image
from raypipe.maps import Doubles
from raypipe.rle import Mask

Row = Mapping[str, Any]


class FileTruth:
    """The truth of some images.

    Masks that are files of another size than the image are scaled to it by the nearest pixel, as
    wsolevaluation does: OpenImages' are.

    Args:
        rows: Of `tables.TRUTH`, of these images.
        names: The classes of the set, in order.
    """

    framed = True

    def __init__(self, rows: pa.Table, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._rows: dict[str, list[Row]] = {}
        for row in rows.to_pylist():
            self._rows.setdefault(row["image_id"], []).append(row)
        self._last: tuple[str, list[tuple[Row, Mask]]] | None = None

    def boxes(self, image_id: str, name: str) -> Doubles:
        """Return the boxes of a class: (n, 4) float64, x0 y0 x1 y1, pixels, end exclusive."""
        return box_array(
            row["box"]
            for row in self._rows.get(image_id, ())
            if row["class"] == name and row["box"] is not None
        )

    def mask(self, image_id: str, name: str) -> ClassMask | None:
        """Return the mask of a class, or None where no mask of it is known.

        Raises:
            InputError: If a mask cannot be decoded.
        """
        masks = self._masks(image_id)
        own = [mask for row, mask in masks if row["class"] == name and not row["void"]]
        if not own:
            return None
        void = [mask for row, mask in masks if row["void"]]
        inside = _union(own)
        return ClassMask(inside, inside | ~_union(void) if void else np.ones_like(inside))

    def labels(self, image_id: str) -> Labels | None:
        """Return the class of each pixel, or None for an image without masks.

        Of objects that lie over one another the one that comes later in the file has the pixels.

        Returns:
            (height, width) int16: 0 = background, n = the n-th of `names`, UNKNOWN = void.

        Raises:
            InputError: If a mask cannot be decoded.
        """
        masks = self._masks(image_id)
        if not masks:
            return None
        labels = np.zeros(masks[0][1].shape, np.int16)
        for row, mask in sorted(masks, key=lambda item: not item[0]["void"]):  # void first
            labels[mask] = UNKNOWN if row["void"] else self.names.index(row["class"]) + 1
        return labels

    def size(self, image_id: str) -> tuple[int, int] | None:
        """Return width and height of the image as its truth has them, or None if it says none."""
        for row in self._rows.get(image_id, ()):
            if row["width"] is not None:
                return row["width"], row["height"]
        for _, mask in self._masks(image_id):
            return mask.shape[1], mask.shape[0]
        return None

    def present(self, image_id: str) -> set[str]:
        """Return the classes that have a box or a mask in an image."""
        return {row["class"] for row in self._rows.get(image_id, ()) if not row["void"]}

    def _masks(self, image_id: str) -> list[tuple[Row, Mask]]:
        """Return the rows with masks, all of one size."""
        if self._last is None or self._last[0] != image_id:  # an image's classes come together
            self._last = (image_id, list(_decoded(self._rows.get(image_id, ()))))
        return self._last[1]


def _decoded(rows: Iterable[Row]) -> Iterable[tuple[Row, Mask]]:
    shape: tuple[int, int] | None = None
    for row in rows:
        if row["counts"] is not None:
            yield row, rle.decode(row["counts"], row["height"], row["width"])
        elif row["mask_uri"] is not None:
            if shape is None and row["width"] is not None:
                shape = (row["height"], row["width"])
            mask = _read(row["mask_uri"], shape)
            shape = mask.shape
            yield row, mask


def _read(uri: str, shape: tuple[int, int] | None) -> Mask:
    """Return a grey PNG's pixels above 0, (H, W) bool, at a size if one is given."""
    grey = mask_image(uri).convert("L")
    if shape is not None and grey.size != shape[::-1]:
        grey = grey.resize(shape[::-1], Image.Resampling.NEAREST)
    return np.asarray(grey) > 0


def _union(masks: Sequence[Mask]) -> Mask:
    found: Mask = np.logical_or.reduce(masks)
    return found
