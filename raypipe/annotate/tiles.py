"""Drawing the tiles of a cluster: images with its cells lit. Pure but for reading the images."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from raypipe.annotate.frames import Frame, Regions
from raypipe.errors import InputError
from raypipe.storage.blob import read_blob

BACKDROP = (24, 26, 31)
OUTLINE = "#ffd642"  # a yellow that few photographs hold, dark-rimmed
DIM, GREY = 0.56, 0.3  # brightness and colour that the rest keeps
CORNER = 1 / 40  # radius of a mark's corners, of the tile
_LIT_CELLS = 1.5  # width of a lit cell's mark: regions are a sample, neighbours should join
_LIT_LEAST = 0.075  # of the tile: on a fine grid a mark must still be seen
_CONTEXT = 1.9  # side of the crop, in sides of the cells' box
_MARGIN = 1.1  # likewise, where the image leaves no room for a square crop
_CONTEXT_LEAST = 0.62  # of the image's shorter side: what is around tells what the thing is
_FINE = 3  # marks are drawn this much finer, then scaled down: smooth outlines
TRIES = 3  # images tried for a tile, on average, before a cluster shows fewer

Loader = Callable[[str], Image.Image | None]
Size = tuple[int, int]
Box = tuple[float, float, float, float]
Marks = tuple[tuple[int, int, int, int], ...]
"""Boxes x0 y0 x1 y1 that cover the lit cells, pixels of the tile; they may overlap."""


@dataclass(frozen=True)
class Tile:
    """One tile of a cluster.

    Attributes:
        plain: RGB, square, nothing drawn on it.
        marks: Where it is lit.
        image_id: The image it shows.
        borderline: Whether its region is among the least typical of the cluster.
        caption: What to write on it; empty where the sheet says it all.
    """

    plain: Image.Image
    marks: Marks
    image_id: str
    borderline: bool
    caption: str = ""

    @property
    def lit(self) -> Image.Image:
        """The tile with its cells lit and outlined, the rest dimmed."""
        return lighted(self.plain, self.marks)


def load(uri: str) -> Image.Image | None:
    """Return an image, upright and in RGB, or None if it cannot be read."""
    try:
        with Image.open(io.BytesIO(read_blob(uri))) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (InputError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def tiles(
    regions: Regions, frames: dict[str, Frame], count: int, side: int, loader: Loader = load
) -> list[Tile]:
    """Draw the tiles of one cluster, each of another image: typical ones, a few borderline last.

    Args:
        regions: Of one cluster, the most typical first.
        frames: Frame by image; images without one are left out.
        count: Tiles at most.
        side: Width and height of a tile, pixels.
        loader: Reads an image by URI; one that gives None is left out.
    """
    order = [image for image in dict.fromkeys(regions.image_ids.tolist()) if image in frames]
    borderline = min(max(1, count // 6), max(0, len(order) - 1)) if count > 2 else 0
    drawn = partial(drawn_tiles, regions, frames, side=side, loader=loader)
    typical = list(islice(drawn(order[: TRIES * count]), count - borderline))
    seen = {item.image_id for item in typical}
    rest = [image_id for image_id in reversed(order) if image_id not in seen]
    last = list(islice(drawn(rest[: TRIES * count]), borderline))[::-1]
    return typical + [replace(item, borderline=True) for item in last]


def drawn_tiles(
    regions: Regions,
    frames: dict[str, Frame],
    image_ids: Iterable[str],
    *,
    side: int,
    loader: Loader = load,
) -> Iterator[Tile]:
    """Yield a tile of each image, in the given order; an image is read when its turn comes.

    Args:
        regions: Of one cluster.
        frames: Frame by image.
        image_ids: Images that have a region and a frame.
        side: Width and height of a tile, pixels.
        loader: Reads an image by URI; one that gives None is left out.
    """
    own = regions.by_image()
    for image_id in image_ids:
        frame = frames[image_id]
        image = loader(frame.uri)
        if image is not None:
            grid = (frame.grid_width, frame.grid_height)
            plain, marks = cut(image, regions.cells[own[image_id]], grid, side)
            yield Tile(plain, marks, image_id, borderline=False)


def cut(
    image: Image.Image, cells: npt.NDArray[np.int32], grid: Size, side: int
) -> tuple[Image.Image, Marks]:
    """Cut the part of an image out that shows some of its cells.

    Args:
        image: RGB.
        cells: (n, 2) int32, row and column, n > 0.
        grid: Cells across and down.
        side: Width and height of the tile, pixels.

    Returns:
        RGB, (side, side), dark where the image does not fill it; and where the cells are.
    """
    cell = (image.width / grid[0], image.height / grid[1])
    centres: npt.NDArray[np.float64] = (cells[:, ::-1] + 0.5) * np.array(cell)
    crop = crop_box(centres, cell, image.size)
    scale = side / max(crop[2] - crop[0], crop[3] - crop[1])
    size = (
        max(1, round((crop[2] - crop[0]) * scale)),
        max(1, round((crop[3] - crop[1]) * scale)),
    )
    corner = ((side - size[0]) // 2, (side - size[1]) // 2)
    square = Image.new("RGB", (side, side), BACKDROP)
    square.paste(image.resize(size, Image.Resampling.LANCZOS, box=crop), corner)
    reach = [max(_LIT_CELLS * length * scale, _LIT_LEAST * side) / 2 for length in cell]
    places = (centres - crop[:2]) * scale + corner
    bounds = (*corner, corner[0] + size[0], corner[1] + size[1])
    return square, covering(places, (reach[0], reach[1]), bounds)


def crop_box(centres: npt.NDArray[np.float64], cell: tuple[float, float], size: Size) -> Box:
    """Return the part of an image to show: cells with generous context, or all of it.

    Args:
        centres: (n, 2) x and y of the cells' centres, pixels.
        cell: Width and height of a cell, pixels.
        size: Width and height of the image.

    Returns:
        x0 y0 x1 y1 within the image; square unless that would cut cells off.
    """
    low, high = centres.min(axis=0) - np.divide(cell, 2), centres.max(axis=0) + np.divide(cell, 2)
    wanted = max(_CONTEXT * float((high - low).max()), _CONTEXT_LEAST * min(size))
    # A narrow tile wastes its square, so the long side goes no further than the cells need.
    longest = np.maximum(min(size), _MARGIN * (high - low))
    sides = np.minimum(np.minimum(wanted, longest), size)
    start = np.clip((low + high - sides) / 2, 0, np.subtract(size, sides))
    x0, y0 = start.tolist()
    x1, y1 = np.minimum(start + sides, size).tolist()
    return x0, y0, x1, y1


def covering(
    centres: npt.NDArray[np.float64], reach: tuple[float, float], bounds: tuple[int, int, int, int]
) -> Marks:
    """Cover cells by boxes; those that touch in a row share one.

    Args:
        centres: (n, 2) x and y, pixels.
        reach: Half the width and half the height of a cell's mark, pixels.
        bounds: x0 y0 x1 y1 that no box leaves.
    """
    low = np.maximum(np.rint(centres - reach), bounds[:2]).astype(int)
    high = np.minimum(np.rint(centres + reach), bounds[2:]).astype(int)
    boxes = sorted({(y0, y1, x0, x1) for (x0, y0), (x1, y1) in zip(low, high, strict=True)})
    rows: list[tuple[int, int, int, int]] = []
    for y0, y1, x0, x1 in boxes:
        if rows and rows[-1][:2] == (y0, y1) and x0 <= rows[-1][3]:
            rows[-1] = (y0, y1, rows[-1][2], x1)
        else:
            rows.append((y0, y1, x0, x1))
    return tuple((int(x0), int(y0), int(x1), int(y1)) for y0, y1, x0, x1 in rows)


def lighted(plain: Image.Image, marks: Marks) -> Image.Image:
    """Keep an image where it is marked, outlined; grey and dim the rest.

    Args:
        plain: RGB.
        marks: Where it is lit.
    """
    lit = _mask(marks, plain.size)
    dim = ImageEnhance.Brightness(ImageEnhance.Color(plain).enhance(GREY)).enhance(DIM)
    result = Image.composite(plain, dim, lit)
    width = max(1, math.ceil(min(plain.size) / 160))
    outer = _grown(lit, 2 * width)
    line = ImageChops.subtract(_grown(lit, width), lit)
    result.paste((0, 0, 0), mask=ImageChops.subtract(outer, lit).point(lambda value: value // 2))
    result.paste(OUTLINE, mask=line)
    return result


def _mask(marks: Marks, size: Size) -> Image.Image:
    """Return a grey image: 255 within the marks, 0 without, smooth in between."""
    fine = Image.new("L", (size[0] * _FINE, size[1] * _FINE), 0)
    pen = ImageDraw.Draw(fine)
    for x0, y0, x1, y1 in marks:
        corners = (x0 * _FINE, y0 * _FINE, x1 * _FINE - 1, y1 * _FINE - 1)
        pen.rounded_rectangle(corners, radius=CORNER * min(size) * _FINE, fill=255)
    return fine.resize(size, Image.Resampling.BOX)


def _grown(mask: Image.Image, pixels: int) -> Image.Image:
    return mask.filter(ImageFilter.MaxFilter(2 * pixels + 1))
