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
_LIGHT = (255, 214, 66)  # the outline: a yellow that few photographs hold, dark-rimmed
_LIT_CELLS = 1.5  # width of a lit cell's mark: regions are a sample, neighbours should join
_LIT_LEAST = 0.075  # of the tile: on a fine grid a mark must still be seen
_CONTEXT = 1.9  # side of the crop, in sides of the cells' box
_MARGIN = 1.1  # likewise, where the image leaves no room for a square crop
_CONTEXT_LEAST = 0.62  # of the image's shorter side: what is around tells what the thing is
_DIM, _GREY = 0.56, 0.3  # brightness and colour that the rest keeps
_FINE = 3  # marks are drawn this much finer, then scaled down: smooth outlines
TRIES = 3  # images tried for a tile, on average, before a cluster shows fewer

Loader = Callable[[str], Image.Image | None]
Size = tuple[int, int]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Tile:
    """One tile of a cluster.

    Attributes:
        image: RGB, square.
        image_id: The image it shows.
        borderline: Whether its region is among the least typical of the cluster.
        caption: What to write on it; empty where the sheet says it all.
    """

    image: Image.Image
    image_id: str
    borderline: bool
    caption: str = ""


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
            lit = tile(image, regions.cells[own[image_id]], grid, side)
            yield Tile(lit, image_id, borderline=False)


def tile(image: Image.Image, cells: npt.NDArray[np.int32], grid: Size, side: int) -> Image.Image:
    """Draw an image with some of its cells lit and the rest dimmed.

    Args:
        image: RGB.
        cells: (n, 2) int32, row and column, n > 0.
        grid: Cells across and down.
        side: Width and height of the tile, pixels.

    Returns:
        RGB, (side, side); what the image does not fill is dark.
    """
    cell = (image.width / grid[0], image.height / grid[1])
    centres: npt.NDArray[np.float64] = (cells[:, ::-1] + 0.5) * np.array(cell)
    crop = crop_box(centres, cell, image.size)
    scale = side / max(crop[2] - crop[0], crop[3] - crop[1])
    size = (
        max(1, round((crop[2] - crop[0]) * scale)),
        max(1, round((crop[3] - crop[1]) * scale)),
    )
    view = image.resize(size, Image.Resampling.LANCZOS, box=crop)
    reach = tuple(max(_LIT_CELLS * length * scale, _LIT_LEAST * side) / 2 for length in cell)
    lit = spots((centres - crop[:2]) * scale, (reach[0], reach[1]), size)
    square = Image.new("RGB", (side, side), BACKDROP)
    square.paste(lighted(view, lit), ((side - size[0]) // 2, (side - size[1]) // 2))
    return square


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


def spots(centres: npt.NDArray[np.float64], reach: tuple[float, float], size: Size) -> Image.Image:
    """Draw a rounded square at each centre.

    Args:
        centres: (n, 2) x and y, pixels.
        reach: Half the width and half the height of a square, pixels.
        size: Width and height of the result.

    Returns:
        Grey image: 255 within, 0 without, smooth in between.
    """
    fine = Image.new("L", (size[0] * _FINE, size[1] * _FINE), 0)
    pen = ImageDraw.Draw(fine)
    for x, y in (centres * _FINE).tolist():
        across, down = reach[0] * _FINE, reach[1] * _FINE
        corners = (x - across, y - down, x + across, y + down)
        pen.rounded_rectangle(corners, radius=0.55 * min(across, down), fill=255)
    return fine.resize(size, Image.Resampling.BOX)


def lighted(view: Image.Image, lit: Image.Image) -> Image.Image:
    """Keep an image where the mask is lit, outlined; grey and dim the rest.

    Args:
        view: RGB.
        lit: Grey image of the same size, 255 = lit.
    """
    dim = ImageEnhance.Brightness(ImageEnhance.Color(view).enhance(_GREY)).enhance(_DIM)
    result = Image.composite(view, dim, lit)
    width = max(1, math.ceil(min(view.size) / 160))
    outer = _grown(lit, 2 * width)
    line = ImageChops.subtract(_grown(lit, width), lit)
    result.paste((0, 0, 0), mask=ImageChops.subtract(outer, lit).point(lambda value: value // 2))
    result.paste(_LIGHT, mask=line)
    return result


def _grown(mask: Image.Image, pixels: int) -> Image.Image:
    return mask.filter(ImageFilter.MaxFilter(2 * pixels + 1))
