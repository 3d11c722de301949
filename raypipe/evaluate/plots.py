"""A plot as shares of its frame: the page draws it with styles alone, at any width and in print."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_MARKS = 40  # more would touch on a phone

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A line of a plot.

    Attributes:
        kind: `answers` (solid, discs) or `boxes` (dashed, squares): never told by colour alone.
        path: Points as SVG wants them, in a frame of 100 x 100, y downwards.
        marks: (left, bottom) of the marks, percent.
    """

    kind: str
    path: str
    marks: list[Point]


@dataclass(frozen=True)
class Plot:
    """A plot that is ready to be drawn.

    Attributes:
        label: What the x axis says.
        lines: Its lines.
        x_ticks: (left in percent, text).
        y_ticks: (bottom in percent, text).
    """

    label: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


def plot(label: str, lines: Sequence[tuple[str, Sequence[Point]]]) -> Plot:
    """Fit lines into a frame that starts at x = 0.

    Args:
        label: What the x axis says.
        lines: Kind and (x, y) points of each.
    """
    points = [point for _, line in lines for point in line]
    xs = ticks(0.0, max(x for x, _ in points), 4)
    ys = ticks(min(y for _, y in points), max(y for _, y in points), 5)
    return Plot(
        label,
        [_line(kind, [(_share(x, xs), _share(y, ys)) for x, y in line]) for kind, line in lines],
        [(_share(x, xs), f"{x:,g}") for x in xs],
        [(_share(y, ys), f"{y:.{_digits(ys)}f}") for y in ys],
    )


def ticks(low: float, high: float, most: int) -> list[float]:
    """Return round numbers that enclose a range, in steps of 1, 2 or 5 times a power of ten.

    Args:
        low: Lower end.
        high: Upper end.
        most: Steps, at most two more.
    """
    span = max(high - low, 1e-3)
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 9) for index in range(first, max(last, first + 1) + 1)]


def _digits(values: Sequence[float]) -> int:
    step = values[1] - values[0]
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _share(value: float, values: Sequence[float]) -> float:
    return round(100 * (value - values[0]) / (values[-1] - values[0]), 2)


def _line(kind: str, points: list[Point]) -> Line:
    every = math.ceil(len(points) / _MARKS)
    marks = points if every == 1 else [*points[:-1:every], points[-1]]
    return Line(kind, " ".join(f"{x},{round(100 - y, 2)}" for x, y in points), marks)
