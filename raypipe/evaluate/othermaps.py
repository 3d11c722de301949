"""Maps of other methods, to be judged as ours are: NumPy files, PNGs or Parquet.

A folder holds `<class>/<image>.npy`, or `<image>.npy` where an image has one class only, or PNGs
named so; `<image>` is the image's name, with or without its extension or its folders. A Parquet
file, or a folder of them, has a row a map: `image_id`, `class`, `map` (a flat list, row-major),
`grid_width`, `grid_height`, as the `maps` and `detections` tables have; with `width` and `height`
of the image nobody has to look it up. Sorted by image_id it is read fastest.
"""

from __future__ import annotations

import io
import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.dataset as ds
from PIL import Image, ImageOps, UnidentifiedImageError

from raypipe.errors import InputError, MissingError
from raypipe.evaluate.fitting import Size
from raypipe.evaluate.predictions import Prediction
from raypipe.maps import Floats, map_boxes
from raypipe.storage.location import Location

_COLUMNS = ("image_id", "class", "map", "grid_width", "grid_height")
_NAMES = ("{name}/{image}", "{image}", "{name}/{stem}", "{stem}", "{name}/{last}", "{last}")
_PATTERNS = [form + kind for form in _NAMES for kind in (".npy", ".png")]

Look = Callable[[str], Size | None]
"""Looks for the width and height of an image by its name; None if it cannot be told."""

Rows = dict[tuple[str, str], tuple[Floats, Size | None]]
"""Map, and size of its image if it is known, by image and class."""


@dataclass(frozen=True)
class OtherMaps:
    """Where the maps of a method are; small and picklable.

    Attributes:
        path: Folder or Parquet file, path or URI.
        threshold: Share of a map's maximum above which its box is drawn.
    """

    path: str
    threshold: float

    def check(self) -> None:
        """Look whether there is anything.

        Raises:
            InputError: If there is not.
        """
        place = Location.of(self.path)
        if not place.exists():
            raise InputError(f"{self.path}: no maps there", "--maps NAME=FOLDER_OR_PARQUET")

    def open(self, image_ids: list[str], sizes: dict[str, Size], look: Look) -> Opened:
        """Return the maps of some images.

        Args:
            image_ids: Their names.
            sizes: Width and height of those that are known; gets those that are found.
            look: Says the size of another one.

        Raises:
            InputError: If the Parquet files lack a column or cannot be read.
        """
        place = Location.of(self.path)
        files = [place.path] if place.path.endswith(".parquet") else [
            (place / name).path for name in place.names() if name.endswith(".parquet")
        ]  # fmt: skip
        rows = _rows(place, files, image_ids) if files else None
        return Opened(place, self.threshold, sizes, look, rows)


@dataclass
class Opened:
    """The maps of some images.

    Attributes:
        place: Folder or Parquet.
        threshold: As in `OtherMaps`.
        sizes: Sizes of images that are known.
        look: Says the size of another one.
        rows: Maps and sizes by image and class if they are in Parquet, else None.
    """

    ranked: ClassVar[bool] = False
    mapped: ClassVar[bool] = True

    place: Location
    threshold: float
    sizes: dict[str, Size]
    look: Look
    rows: Rows | None
    _patterns: list[str] = field(default_factory=lambda: list(_PATTERNS))

    def find(self, image_id: str, name: str) -> Prediction | None:
        """Return the map of a class in an image with its box; None without a file or a size.

        Raises:
            InputError: If it cannot be read as a map.
        """
        grid, own = self._read(image_id, name)
        if grid is None:
            return None
        size = self.sizes.get(image_id) or own or self.look(image_id)
        if size is None:
            return None
        self.sizes[image_id] = size  # whatever another method says: an image has one size
        width, height = size
        boxes = map_boxes(grid, height, width, self.threshold)
        return Prediction(width, height, boxes, grid)

    def classes(self, image_id: str) -> list[str]:
        """Return the classes that an image without labels has maps of, if that is known."""
        return [name for image, name in self.rows or () if image == image_id]

    def _read(self, image_id: str, name: str) -> tuple[Floats | None, Size | None]:
        if self.rows is not None:
            return self.rows.get((image_id, name), (None, None))
        stem = posixpath.splitext(image_id)[0]
        forms = {"name": name, "image": image_id, "stem": stem, "last": posixpath.basename(stem)}
        for pattern in self._patterns:
            place = self.place / pattern.format(**forms)
            try:
                content = place.read_bytes()
            except MissingError:
                continue
            self._patterns.remove(pattern)  # where one was found the next one is looked for first
            self._patterns.insert(0, pattern)
            return stretched(_decoded(content, place), str(place)), None
        return None, None


def stretched(grid: npt.NDArray[Any], source: str) -> Floats:
    """Scale a map's minimum to 0 and its maximum to 1, as the field's evaluations do.

    Args:
        grid: (h, w), any range.
        source: Its name, for the error.

    Returns:
        (h, w) float32; a constant map is zeros.

    Raises:
        InputError: If it is no matrix of finite numbers.
    """
    if grid.ndim != 2 or not grid.size:
        raise InputError(
            f"{source}: a map has rows and columns, this one is of shape {grid.shape}",
            "write one (height, width) array a class",
        )
    if not np.isfinite(grid).all():
        raise InputError(f"{source}: the map holds values that are no numbers", "mend it")
    wide = grid.astype(np.float64)
    low, high = wide.min(), wide.max()
    scaled: Floats = ((wide - low) / (high - low or 1.0)).astype(np.float32)
    return scaled


def image_size(content: bytes) -> Size | None:
    """Return an image's width and height, pixels, in the frame after EXIF rotation, or None."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            size: Size = ImageOps.exif_transpose(image).size if image.getexif() else image.size
            return size
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return None


def _decoded(content: bytes, place: Location) -> npt.NDArray[Any]:
    try:
        if place.path.endswith(".npy"):
            return np.asarray(np.load(io.BytesIO(content)), dtype=np.float64)
        with Image.open(io.BytesIO(content)) as image:
            if len(image.getbands()) != 1 or image.mode == "P":
                raise InputError(f"{place}: a map is a grey PNG, this one is {image.mode}",
                                 "write scores as grey levels of 8 or 16 bits")  # fmt: skip
            return np.asarray(image, dtype=np.float64)
    except (ValueError, OSError, SyntaxError, EOFError) as error:
        raise InputError(
            f"{place}: no map can be read from it ({error})", "write it anew"
        ) from None


def _rows(place: Location, paths: list[str], image_ids: list[str]) -> Rows:
    """Read the maps of some images from Parquet."""
    try:
        files = ds.dataset(paths, filesystem=place.filesystem, format="parquet")
        missing = [name for name in _COLUMNS if name not in files.schema.names]
        if missing:
            raise InputError(f"{place}: maps in Parquet lack {', '.join(missing)}",
                             f"its columns must be {', '.join(_COLUMNS)}")  # fmt: skip
        extra = [name for name in ("width", "height") if name in files.schema.names]
        field = ds.field("image_id")  # its range is what row groups can be told apart by
        wanted = (field >= min(image_ids)) & (field <= max(image_ids))
        wanted &= field.isin(pa.array(image_ids, pa.string()))
        rows = files.to_table(columns=[*_COLUMNS, *extra], filter=wanted)
    except pa.ArrowInvalid as error:
        raise InputError(f"{place}: no Parquet of maps ({error})", "write it anew") from None
    maps = rows["map"]
    found: Rows = {}
    for at, row in enumerate(rows.drop_columns(["map"]).to_pylist()):
        source = f"{place}: {row['image_id']}, {row['class']}"
        cells = maps[at].values.to_numpy(zero_copy_only=False)
        if cells.size != row["grid_height"] * row["grid_width"]:
            raise InputError(f"{source}: {cells.size} scores for {row['grid_height']} rows of "
                             f"{row['grid_width']}", "mend grid_height and grid_width")  # fmt: skip
        grid = stretched(cells.reshape(row["grid_height"], row["grid_width"]), source)
        size = (row["width"], row["height"]) if len(extra) == 2 else None
        found[row["image_id"], row["class"]] = (grid, size)
    return found
