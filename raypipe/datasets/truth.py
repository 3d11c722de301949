"""Ground truth of an indexed set: boxes from its table, masks decoded from their PNGs.

Only `evaluate` and the simulated annotator look at it; nothing that makes a detection does.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from raypipe.datasets.base import VOID
from raypipe.errors import InputError
from raypipe.storage.images import read_boxes, read_images
from raypipe.storage.location import Location
from raypipe.storage.run import Run
from raypipe.tables import CLASSES


@dataclass(frozen=True)
class ClassMask:
    """The pixels of one class in one image.

    Attributes:
        inside: (height, width) bool, pixels of the class.
        valid: (height, width) bool, false where the truth is void.
    """

    inside: npt.NDArray[np.bool_]
    valid: npt.NDArray[np.bool_]


class Truth:
    """The ground truth of one indexed set.

    Args:
        run: The run directory.
        index_set: Name of the set below `index/`.
    """

    def __init__(self, run: Run, index_set: str) -> None:
        images = read_images(run, index_set, ["image_id", "mask_uri"])
        classes = run.read(CLASSES, "index", index_set, "classes.parquet")
        boxes = read_boxes(run, index_set)
        self._mask_uris: dict[str, str] = {
            image: uri
            for image, uri in zip(
                images["image_id"].to_pylist(), images["mask_uri"].to_pylist(), strict=True
            )
            if uri is not None
        }
        self._values: dict[str, int] = {
            name: value
            for name, value in zip(
                classes["class"].to_pylist(), classes["mask_value"].to_pylist(), strict=True
            )
            if value is not None
        }
        self._boxes: dict[tuple[str, str], list[list[float]]] = {}
        for row in boxes.to_pylist():
            corners = [row["x0"], row["y0"], row["x1"], row["y1"]]
            self._boxes.setdefault((row["image_id"], row["class"]), []).append(corners)
        self._last: tuple[str, npt.NDArray[np.uint8]] | None = None

    def boxes(self, image_id: str, name: str) -> npt.NDArray[np.float64]:
        """Return the boxes of a class: (n, 4) float64, x0 y0 x1 y1, pixels, end exclusive."""
        return np.array(self._boxes.get((image_id, name), []), dtype=np.float64).reshape(-1, 4)

    def mask(self, image_id: str, name: str) -> ClassMask | None:
        """Return the mask of a class, or None if the image or the class has none.

        Raises:
            InputError: If the mask cannot be decoded.
        """
        uri = self._mask_uris.get(image_id)
        if uri is None or name not in self._values:
            return None
        if self._last is None or self._last[0] != image_id:  # an image's classes come together
            self._last = (image_id, _decode(uri))
        values = self._last[1]
        return ClassMask(values == self._values[name], values != VOID)


def _decode(uri: str) -> npt.NDArray[np.uint8]:
    """Return a palette or grey PNG's values, (height, width) uint8."""
    try:
        with Image.open(io.BytesIO(Location.of(uri).read_bytes())) as image:
            if image.mode not in {"P", "L"}:
                raise InputError(
                    f"{uri}: a mask must be a palette or grey PNG, this one is {image.mode}",
                    "write class numbers, not colours",
                )
            return np.asarray(image, dtype=np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise InputError(f"{uri}: the mask cannot be decoded ({error})", "restore it") from None
