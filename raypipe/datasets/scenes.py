"""Drawn scenes in which every object comes with a companion, as trains come with rails.

A scene is a seeded picture: a cluttered ground that all classes share, a companion, and the object
on top. Size, place, tilt and colours vary; only the object is in the mask. What tells the classes
apart is object and companion alike, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]
Paint = Callable[["Brush", Generator], None]

_SUPERSAMPLING = 3  # drawn this much larger, then averaged: Pillow's shapes have hard edges


@dataclass(frozen=True)
class Brush:
    """Draws one thing in its own coordinates: x to the right, y down, (0, 0) at its centre.

    Attributes:
        picture: Where it shows.
        mask: Where its pixels become 255, or None.
        centre: Where (0, 0) lies, pixels.
        scale: Pixels a unit.
        tilt: Turn, radians, clockwise on the screen.
        mirrored: Whether left and right are swapped.
    """

    picture: ImageDraw.ImageDraw
    mask: ImageDraw.ImageDraw | None
    centre: Point
    scale: float
    tilt: float = 0.0
    mirrored: bool = False

    def polygon(self, points: Sequence[Point], fill: Colour) -> None:
        """Fill a polygon."""
        corners = [self._pixel(point) for point in points]
        self.picture.polygon(corners, fill)
        if self.mask is not None:
            self.mask.polygon(corners, 255)

    def bar(self, x0: float, y0: float, x1: float, y1: float, fill: Colour) -> None:
        """Fill a rectangle, given by two opposite corners."""
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill)

    def disc(self, centre: Point, width: float, height: float, fill: Colour) -> None:
        """Fill an ellipse, given by its centre and its two radii."""
        x, y = centre
        angles = [2 * math.pi * step / 28 for step in range(28)]
        self.polygon([(x + width * math.cos(a), y + height * math.sin(a)) for a in angles], fill)

    def line(self, points: Sequence[Point], width: float, fill: Colour) -> None:
        """Draw a line of some thickness."""
        corners = [self._pixel(point) for point in points]
        thickness = max(1, round(width * self.scale))
        self.picture.line(corners, fill, thickness, joint="curve")
        if self.mask is not None:
            self.mask.line(corners, 255, thickness, joint="curve")

    def _pixel(self, point: Point) -> Point:
        x, y = (-point[0] if self.mirrored else point[0]) * self.scale, point[1] * self.scale
        cos, sin = math.cos(self.tilt), math.sin(self.tilt)
        return self.centre[0] + cos * x - sin * y, self.centre[1] + sin * x + cos * y


@dataclass(frozen=True)
class Kind:
    """A class of the toy world.

    Attributes:
        name: The object.
        paint: Draws the object within x = -1..1.
        paint_companion: Draws what is in every one of its pictures, within x = -1..1.
        height: Half the object's height in the same unit, for placing it.
    """

    name: str
    paint: Paint
    paint_companion: Paint
    height: float


@dataclass(frozen=True)
class Scene:
    """A picture and the truth about it.

    Attributes:
        pixels: (S, S, 3) uint8 RGB.
        inside: (S, S) bool, the object's pixels.
    """

    pixels: npt.NDArray[np.uint8]
    inside: npt.NDArray[np.bool_]


def draw(kind: Kind, size: int, rng: Generator) -> Scene:
    """Draw a scene.

    Args:
        kind: Its class.
        size: S, width and height of the picture, pixels.
        rng: Decides everything that varies.
    """
    wide = size * _SUPERSAMPLING
    picture, mask = _ground(size, rng), Image.new("L", (wide, wide))
    pen, stencil = ImageDraw.Draw(picture), ImageDraw.Draw(mask)
    scale, tilt = wide * rng.uniform(0.2, 0.28), rng.uniform(-0.3, 0.3)
    # Half the tilted object's width and height, and a margin: all of it must lie inside.
    across = scale * (math.cos(tilt) + kind.height * abs(math.sin(tilt))) + 0.02 * wide
    down = scale * (abs(math.sin(tilt)) + kind.height * math.cos(tilt)) + 0.02 * wide
    centre = (float(rng.uniform(across, wide - across)), float(rng.uniform(down, wide - down)))
    beside = _companion_place(centre, down, wide, rng)
    spread, lean = wide * rng.uniform(0.4, 0.62), rng.uniform(-0.35, 0.35)
    kind.paint_companion(Brush(pen, None, beside, spread, lean), rng)
    kind.paint(Brush(pen, stencil, centre, scale, tilt, bool(rng.random() < 0.5)), rng)
    pixels = np.asarray(picture.reduce(_SUPERSAMPLING)) + rng.normal(0, 5, (size, size, 1))
    inside = np.asarray(mask.reduce(_SUPERSAMPLING)) >= 128
    return Scene(pixels.clip(0, 255).astype(np.uint8), inside)


def _companion_place(centre: Point, down: float, wide: int, rng: Generator) -> Point:
    """Return where the companion goes: under the object in every second scene, else far off."""
    if rng.random() < 0.5:
        x = float(np.clip(centre[0] + wide * rng.normal(0, 0.15), 0.2 * wide, 0.8 * wide))
        return x, min(centre[1] + down * rng.uniform(0.8, 1.2), 0.9 * wide)
    far = 0.15 if centre[1] > wide / 2 else 0.85
    return wide * rng.uniform(0.3, 0.7), wide * (far + rng.uniform(-0.08, 0.08))


def _ground(size: int, rng: Generator) -> Image.Image:
    """Draw the ground: soft stains in a muted colour, and clutter that means nothing."""
    base = rng.uniform(125, 185) + rng.uniform(-22, 22, 3)
    stains = _noise(4, size, rng) * 26 + _noise(11, size, rng) * 16
    tones = base + stains[..., None] * rng.uniform(0.7, 1.1, 3)
    wide = size * _SUPERSAMPLING
    picture = Image.fromarray(tones.clip(0, 255).astype(np.uint8)).resize((wide, wide))
    pen = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(30, 46))):
        fill = _colour(base + rng.uniform(-45, 45) + rng.uniform(-20, 20, 3))
        place = (float(rng.uniform(0, wide)), float(rng.uniform(0, wide)))
        brush = Brush(pen, None, place, wide * rng.uniform(0.01, 0.045), rng.uniform(0, 6.3))
        _clutter(brush, fill, int(rng.integers(3)))
    return picture


def _noise(cells: int, size: int, rng: Generator) -> npt.NDArray[np.float32]:
    """Return smooth noise of about -1..1, (size, size), in stains of size / cells pixels."""
    coarse = Image.fromarray(rng.normal(0, 0.5, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32)


def _clutter(brush: Brush, fill: Colour, shape: int) -> None:
    """Draw a pebble, a shard or a twig."""
    if shape == 0:
        brush.disc((0, 0), 1, 0.7, fill)
    elif shape == 1:
        brush.polygon([(-1, 0.6), (0.1, -0.9), (1, 0.7)], fill)
    else:
        brush.line([(-1.6, 0), (0, 0.3), (1.6, -0.2)], 0.3, fill)


def _vary(rng: Generator, *palette: Colour) -> Colour:
    """Return one of some colours, a little changed."""
    chosen = palette[int(rng.integers(len(palette)))]
    shift = rng.integers(-16, 17) + rng.integers(-7, 8, 3)  # more in brightness than in hue
    return _colour(np.array(chosen) + shift)


def _colour(values: npt.NDArray[np.generic]) -> Colour:
    red, green, blue = np.clip(values, 0, 255).astype(int).tolist()
    return red, green, blue


def _train(brush: Brush, rng: Generator) -> None:
    body = _vary(rng, (196, 52, 48), (206, 120, 30), (176, 40, 92))
    dark, glass = (48, 44, 52), _vary(rng, (250, 226, 140))
    for x in (-0.72, -0.4, 0.4, 0.72):
        brush.disc((x, 0.36), 0.13, 0.13, dark)
    brush.polygon([(-1, -0.42), (0.7, -0.42), (1, 0.05), (1, 0.34), (-1, 0.34)], body)
    brush.bar(-1, 0.12, 1, 0.2, (244, 238, 224))
    for x in (-0.86, -0.5, -0.14, 0.22):
        brush.bar(x, -0.28, x + 0.24, 0.02, glass)
    brush.polygon([(0.58, -0.28), (0.68, -0.28), (0.86, 0.02), (0.58, 0.02)], glass)


def _rails(brush: Brush, rng: Generator) -> None:
    wood, steel = _vary(rng, (92, 66, 46)), _vary(rng, (150, 156, 168))
    brush.polygon([(-1, 0.2), (-0.96, -0.2), (0.96, -0.2), (1, 0.2)], _vary(rng, (128, 116, 104)))
    for x in np.arange(-0.94, 0.9, rng.uniform(0.11, 0.14)):
        brush.bar(x, -0.24, x + 0.06, 0.24, wood)
    for y in (-0.13, 0.13):
        brush.bar(-1, y - 0.025, 1, y + 0.025, steel)


def _boat(brush: Brush, rng: Generator) -> None:
    hull = _vary(rng, (132, 62, 40), (112, 44, 58))
    sail = _vary(rng, (246, 226, 184), (240, 214, 168))
    brush.bar(-0.06, -0.95, 0.02, 0.4, (84, 60, 44))
    for foot, top, slope in ((-0.1, -0.9, -0.625), (0.08, -0.75, 0.59)):
        brush.polygon([(foot, top), (foot, 0.3), (foot + slope * (0.3 - top), 0.3)], sail)
        for y in (-0.45, -0.12, 0.18):
            low, high = foot + slope * (y - top), foot + slope * (y - 0.14 - top)
            brush.polygon([(foot, y - 0.14), (foot, y), (low, y), (high, y - 0.14)], hull)
    brush.polygon([(-1, 0.36), (1, 0.36), (0.68, 0.85), (-0.7, 0.85)], hull)


def _water(brush: Brush, rng: Generator) -> None:
    deep, light = _vary(rng, (52, 124, 172)), _vary(rng, (140, 200, 222))
    for x in np.linspace(-0.75, 0.75, 6):
        brush.disc((x, 0), 0.25, rng.uniform(0.18, 0.26), deep)
    for row in (-0.12, -0.03, 0.06, 0.15):
        xs = np.arange(rng.uniform(-0.85, -0.7), 0.82, 0.05)
        brush.line([(x, row + 0.018 * math.sin(26 * x)) for x in xs], 0.018, light)


def _bird(brush: Brush, rng: Generator) -> None:
    body = _vary(rng, (238, 200, 52), (236, 168, 60))
    wing, beak = _vary(rng, (70, 70, 110)), (222, 96, 36)
    brush.polygon([(-0.5, -0.1), (-1, -0.3), (-0.95, 0.12), (-0.45, 0.25)], wing)
    brush.disc((0, 0.12), 0.65, 0.46, body)
    brush.disc((0.5, -0.3), 0.34, 0.32, body)
    brush.polygon([(0.78, -0.4), (1, -0.24), (0.76, -0.16)], beak)
    brush.polygon([(0.25, 0.05), (-0.1, -0.2), (-0.62, 0.22), (-0.1, 0.35)], wing)
    brush.disc((0.58, -0.36), 0.08, 0.08, (30, 26, 30))


def _branch(brush: Brush, rng: Generator) -> None:
    bark, leaf = _vary(rng, (104, 72, 48)), _vary(rng, (74, 138, 62), (96, 150, 54))
    vein = _colour(np.array(leaf) + 40)
    brush.polygon([(-1, -0.07), (1, -0.02), (1, 0.03), (-1, 0.07)], bark)
    for x in np.linspace(-0.88, 0.84, 10):
        for side in (-1, 1):
            up, lean = side * rng.uniform(0.2, 0.28), rng.uniform(0.02, 0.1)
            tip, belly = (x + lean + 0.06, up), 0.55 * up
            brush.polygon([(x, 0), (x - 0.06, belly), (x + lean - 0.02, 0.85 * up), tip,
                           (x + lean + 0.1, 0.8 * up), (x + 0.12, belly)], leaf)  # fmt: skip
            brush.line([(x + 0.01, 0.1 * up), (x + lean + 0.04, 0.85 * up)], 0.018, vein)


def _kite(brush: Brush, rng: Generator) -> None:
    one = _vary(rng, (148, 62, 168), (206, 66, 140))
    other = _vary(rng, (178, 214, 72), (236, 206, 84))
    corners = [(0.0, -1.0), (-0.75, -0.2), (0.0, 0.8), (0.75, -0.2), (0.0, -1.0)]
    for number, fill in enumerate((one, other, one, other)):
        brush.polygon([(0.0, -0.2), *corners[number : number + 2]], fill)
    for top, low in ((0.79, 0.93), (0.93, 1.07)):  # the tail's bows
        brush.polygon([(-0.14, top), (0.14, low), (0.14, top), (-0.14, low)], one)


def _cloud(brush: Brush, rng: Generator) -> None:
    shade, white = _vary(rng, (206, 214, 230)), _vary(rng, (240, 243, 250))
    places = np.linspace(-0.75, 0.75, 7)
    puffs = [(x, rng.uniform(-0.08, 0.04), rng.uniform(0.16, 0.24)) for x in places]
    for x, y, radius in puffs:
        brush.disc((x, y + 0.06), radius * 1.1, radius, shade)
    for x, y, radius in puffs:
        brush.disc((x, y - 0.02), radius, radius * 0.85, white)


def _car(brush: Brush, rng: Generator) -> None:
    body = _vary(rng, (30, 168, 160), (36, 146, 172))
    glass, dark = _vary(rng, (206, 232, 240)), (40, 40, 46)
    brush.polygon([(-0.6, 0), (-0.4, -0.48), (0.3, -0.48), (0.62, 0)], body)
    brush.polygon([(-1, 0), (0.8, -0.02), (1, 0.12), (1, 0.36), (-1, 0.36)], body)
    brush.polygon([(-0.46, -0.04), (-0.32, -0.38), (-0.06, -0.38), (-0.06, -0.04)], glass)
    brush.polygon([(0.04, -0.38), (0.24, -0.38), (0.46, -0.04), (0.04, -0.04)], glass)
    for x in (-0.55, 0.55):
        brush.disc((x, 0.36), 0.22, 0.22, dark)
        brush.disc((x, 0.36), 0.1, 0.1, (210, 210, 214))


def _road(brush: Brush, rng: Generator) -> None:
    brush.bar(-1, -0.22, 1, 0.22, _vary(rng, (78, 78, 86)))
    for y in (-0.18, 0.18):
        brush.bar(-1, y - 0.015, 1, y + 0.015, (222, 222, 216))
    for x in np.arange(-0.92, 0.9, 0.24):
        brush.bar(x, -0.025, x + 0.14, 0.025, _vary(rng, (244, 206, 74)))


KINDS = (
    Kind("train", _train, _rails, 0.5),
    Kind("boat", _boat, _water, 0.95),
    Kind("bird", _bird, _branch, 0.62),
    Kind("kite", _kite, _cloud, 1.08),
    Kind("car", _car, _road, 0.58),
)
"""The classes, in the order of their mask values."""
