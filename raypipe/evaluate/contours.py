"""The boxes of MaxBoxAcc and MaxBoxAccV2 at every threshold, as their reference code finds them.

Choe et al., "Evaluating weakly supervised object localization methods right" (CVPR 2020), and its
code, clovaai/wsolevaluation, which defines what the numbers of the field mean. Its quirks are
kept, for otherwise nothing compares: a map is stretched to 0..1 at 224 x 224 and cut to 8 bits; a
mask holds the values strictly above a whole number; boxes are those of contours, and a hole has a
contour too; ends are exclusive, but cut to the last pixel; and the IoU adds 1 to every side.

Contours are found without OpenCV. An outer contour runs along the outermost pixels of an
8-connected component, the contour of a hole along the pixels around it. The area inside an outer
contour, a polygon through centres of pixels, is a sum over the quads of 2 x 2 pixels of the
filled component: 1 where all four are set, 1/2 where three are.

Letters of shapes: T thresholds, D distinct masks, n contours of a mask, m true boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from raypipe.maps import Doubles, Floats

SIDE = 224
"""Pixels a side that maps and true boxes are scaled to."""

THRESHOLDS: Doubles = np.arange(0, 1, 0.01)
"""(T,) shares of a map's maximum, 0.00 to 0.99."""

_FULL = np.ones((3, 3), dtype=np.int8)  # 8 neighbours; what is not set has 4
_NO_CONTOUR = np.zeros((1, 4))  # the box that the reference code takes for an empty map

Levels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.signedinteger[Any]]


@dataclass(frozen=True)
class Contours:
    """The boxes of k masks with the same contours; x0 y0 x1 y1, pixels of the map, float64.

    Attributes:
        largest: (k, 4) box of the contour that encloses most.
        every: (k, n, 4) boxes of all contours, those of holes last.
    """

    largest: Doubles
    every: Doubles


def stretched(image_map: Floats) -> Doubles:
    """Return a map whose minimum is 0 and whose maximum is 1, or zeros for a constant one.

    Args:
        image_map: (H, W) float32.

    Returns:
        (H, W) float64: the reference code takes no other, and single precision would cut some
        scores to another level.
    """
    wide = image_map.astype(np.float64)
    lowest = wide.min()
    spread = wide.max() - lowest
    return (wide - lowest) / spread if spread > 0 else np.zeros_like(wide)


def eight_bits(stretched_map: Doubles) -> Levels:
    """Return a map in 0..1 cut to 8 bits, (H, W) uint8."""
    return (stretched_map * 255).astype(np.uint8)


def contours_at(levels: Levels) -> tuple[list[Contours], npt.NDArray[np.intp]]:
    """Return the contours of a map at every threshold of the grid.

    Args:
        levels: (H, W) uint8 map.

    Returns:
        The contours of its D distinct masks, and (T,) which of them each threshold makes.
    """
    peak = int(levels.max(initial=0))
    bounds = np.array([int(share * peak) for share in THRESHOLDS])
    if peak == 0:
        return [Contours(_NO_CONTOUR, _NO_CONTOUR[None])], np.zeros(len(bounds), np.intp)
    above = _above(levels)
    _, first, which = np.unique(-above[bounds], return_index=True, return_inverse=True)
    return list(_distinct(levels, bounds[first])), which


def _distinct(levels: Levels, bounds: npt.NDArray[np.intp]) -> Iterator[Contours]:
    """Yield the contours of the masks above each level, the levels ascending.

    From one mask to the next, smaller one components vanish, split or shrink, and holes appear,
    merge or grow. Something vanishes only at a regional maximum and appears only at a regional
    minimum, and both splitting and merging raise the Euler number. So where there is no extremum
    between two masks and their Euler numbers are equal, components and holes are the same ones,
    and need not be labelled again: their boxes follow from the peaks of their rows and columns.
    """
    padded = np.pad(levels, 1)
    ranked = _ranked(padded)
    euler = _euler_numbers(padded, ranked)
    maxima, minima = _maxima(padded, full=True), _maxima(255 - padded, full=False)[::-1]
    passed = np.cumsum(maxima + minima)[bounds]
    # Every component holds a maximum, and every hole a minimum, as the outside does.
    peaks, basins = maxima.sum() - np.cumsum(maxima), np.cumsum(minima)
    breaks = np.flatnonzero(np.diff(passed) | np.diff(euler[bounds])) + 1
    row_peaks, col_peaks = padded.max(axis=1), padded.max(axis=0)
    last = np.array((np.inf, np.inf, levels.shape[1] - 1, levels.shape[0] - 1))
    for alike in np.split(bounds, breaks):
        # Masks shrink as levels grow: only the window that is left is looked at, and the frame
        # of unset pixels around it, which is outside.
        rows, cols = np.flatnonzero(row_peaks > alike[0]), np.flatnonzero(col_peaks > alike[0])
        top, left, bottom, right = rows[0] - 1, cols[0] - 1, rows[-1] + 2, cols[-1] + 2
        quads = (slice(top, bottom - 1), slice(left, right - 1))
        window = _Window(
            padded[top:bottom, left:right], ranked[0][quads], ranked[1][quads],
            row_peaks[top:bottom], col_peaks[left:right],
        )  # fmt: skip
        level, holeless = alike[0], basins[alike[-1]] == 1
        single = bool(peaks[level] == 1 or (holeless and euler[level] == 1))
        found = _boxes(window, alike, int(euler[level]), single=single)
        shift = np.array((left - 1, top - 1) * 2)
        # Ends are exclusive, but at most the last pixel.
        largest, every = (np.minimum(each + shift, last) for each in (found.largest, found.every))
        yield Contours(largest, every)


@dataclass(frozen=True)
class _Window:
    """What is left of a map above a level, with a frame that no mask holds.

    Attributes:
        values: (h, w) uint8.
        low: (h - 1, w - 1) lowest value of each quad of 2 x 2 pixels.
        third: Lowest but one.
        rows: (h,) highest value of each row.
        cols: (w,) highest value of each column.
    """

    values: Levels
    low: Levels
    third: Levels
    rows: Levels
    cols: Levels


def _boxes(window: _Window, bounds: npt.NDArray[np.intp], euler: int, *, single: bool) -> Contours:
    """Return the boxes of all contours, ends exclusive, and of the one that encloses most.

    Args:
        window: What is left above the lowest level.
        bounds: (k,) levels whose masks have the same components and holes.
        euler: Their components less their holes.
        single: They are known to have one component, which then need not be looked for.
    """
    values = window.values
    labels, count = (None, 1) if single else ndimage.label(values > bounds[0], _FULL)
    if labels is None or count == 1:
        outer = _extents(window.rows, window.cols, bounds)[:, None]
        if euler == 1:
            return Contours(outer[:, 0], outer)
    else:
        outer = _label_boxes(labels, values, bounds)
        if count == euler:
            return Contours(_largest(window, labels, outer, bounds), outer)
    outside, _ = ndimage.label(values <= bounds[-1])
    # A hole's contour runs on the pixels around it. Label 1 is outside: it holds the corner.
    holes = _label_boxes(np.maximum(outside - 1, 0), 255 - values, 254 - bounds)
    holes += np.array((-1.0, -1.0, 1.0, 1.0))
    every = np.concatenate([outer, holes], axis=1)
    if count == 1:
        return Contours(outer[:, 0], every)
    filled = np.where(outside == 1, values, 255).astype(np.uint8)
    whole, _ = ndimage.label(filled > bounds[0], _FULL)
    low, third, _, _ = _ranked(filled)
    solid = _Window(filled, low, third, window.rows, window.cols)
    return Contours(_largest(solid, whole, _label_boxes(whole, filled, bounds), bounds), every)


def _extents(rows: Levels, cols: Levels, bounds: npt.NDArray[np.intp]) -> Doubles:
    """Return the (k, 4) box of all that lies above each level, from the peaks of both axes."""
    boxes = np.empty((len(bounds), 4))
    for axis, peaks in ((0, cols), (1, rows)):
        held = peaks[:, None] > bounds
        boxes[:, axis] = held.argmax(axis=0)
        boxes[:, axis + 2] = len(peaks) - held[::-1].argmax(axis=0)
    return boxes


def _label_boxes(labels: Labels, values: Levels, bounds: npt.NDArray[np.intp]) -> Doubles:
    """Return the (k, n, 4) boxes of what of labels 1..n lies above each level, ends exclusive."""
    places = ndimage.find_objects(labels)
    boxes = np.empty((len(bounds), len(places), 4))
    for index, (rows, cols) in enumerate(places):
        if len(bounds) == 1:
            boxes[:, index] = (cols.start, rows.start, cols.stop, rows.stop)
            continue
        part = np.where(labels[rows, cols] == index + 1, values[rows, cols], 0)
        own = _extents(part.max(axis=1), part.max(axis=0), bounds)
        boxes[:, index] = own + np.array((cols.start, rows.start) * 2)
    return boxes


def _largest(
    window: _Window, labels: Labels, boxes: Doubles, bounds: npt.NDArray[np.intp]
) -> Doubles:
    """Return the (k, 4) box of the component without holes whose contour encloses most.

    Of equals it is the one that starts last in reading order: OpenCV lists contours from the
    bottom up, and the reference code takes the first. No contour inside another, and none of a
    hole, encloses more than the outermost one, which comes before them.
    """
    halves = _halves(window, labels, boxes.shape[1], bounds)
    chosen = halves.argmax(axis=0)
    for index in np.flatnonzero((halves == halves.max(axis=0)).sum(axis=0) > 1):
        equals = np.flatnonzero(halves[:, index] == halves[:, index].max())
        tops = boxes[index, equals, 1]
        equals = equals[tops == tops.max()]
        if len(equals) > 1:  # they start in one row
            row = int(boxes[index, equals[0], 1])
            set_now = window.values[row] > bounds[index]
            starts = [((labels[row] == at + 1) & set_now).argmax() for at in equals]
            equals = equals[[int(np.argmax(starts))]]
        chosen[index] = equals[0]
    found: Doubles = boxes[np.arange(len(bounds)), chosen]
    return found


def _halves(
    window: _Window, labels: Labels, count: int, bounds: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """Return (n, k): twice the area that each component's contour encloses above each level."""
    corners = np.maximum(  # all that is set in a quad is of one component
        np.maximum(labels[1:, 1:], labels[1:, :-1]), np.maximum(labels[:-1, 1:], labels[:-1, :-1])
    )
    held = corners > 0
    keys = corners[held].astype(np.intp) * 256
    counts = np.bincount(keys + window.third[held], minlength=(count + 1) * 256)
    counts += np.bincount(keys + window.low[held], minlength=(count + 1) * 256)
    table = counts.reshape(-1, 256)[1:]
    halves: npt.NDArray[np.intp] = (table.sum(axis=1, keepdims=True) - table.cumsum(axis=1))[
        :, bounds
    ]
    return halves


def _ranked(values: Levels) -> tuple[Levels, Levels, Levels, Levels]:
    """Return the values of every quad of 2 x 2 pixels in order, the lowest first."""
    low_row, high_row = np.minimum(values[1:], values[:-1]), np.maximum(values[1:], values[:-1])
    low = np.minimum(low_row[:, 1:], low_row[:, :-1])
    high = np.maximum(high_row[:, 1:], high_row[:, :-1])
    x = np.maximum(low_row[:, 1:], low_row[:, :-1])
    y = np.minimum(high_row[:, 1:], high_row[:, :-1])
    return low, np.minimum(x, y), np.maximum(x, y), high


def _maxima(padded: Levels, *, full: bool) -> npt.NDArray[np.intp]:
    """Return (256,) how many regional maxima there are of each level.

    Args:
        padded: (h, w) uint8.
        full: Pixels have 8 neighbours, not 4.
    """
    highest = padded >= _around(padded, full=full)
    labels, count = ndimage.label(highest, _FULL if full else None)
    # A plateau with an equal pixel that has a higher neighbour is none.
    others = _around(np.where(highest, 0, padded).astype(np.uint8), full=full)
    kept = np.ones(count + 1, bool)
    kept[labels[highest & (others == padded)]] = kept[0] = False
    level = np.zeros(count + 1, np.intp)
    level[labels[highest]] = padded[highest]
    return np.bincount(level[kept], minlength=256)


def _around(values: Levels, *, full: bool) -> Levels:
    """Return the highest value of each pixel and its neighbours."""
    rows = values.copy()
    np.maximum(rows[1:], values[:-1], out=rows[1:])
    np.maximum(rows[:-1], values[1:], out=rows[:-1])
    source = rows.copy() if full else values
    np.maximum(rows[:, 1:], source[:, :-1], out=rows[:, 1:])
    np.maximum(rows[:, :-1], source[:, 1:], out=rows[:, :-1])
    return rows


def _euler_numbers(padded: Levels, ranked: Sequence[Levels]) -> npt.NDArray[np.intp]:
    """Return (256,): components less holes of the mask strictly above each level.

    By Gray's count of quads (1971) for 8-connected components: (Q1 - Q3 - 2 QD) / 4, with Q1 and
    Q3 the quads of which one or three pixels are set, QD those of which a diagonal is.
    """
    a, b, c, d = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    low_ad, high_ad, low_bc, high_bc = (
        np.minimum(a, d), np.maximum(a, d), np.minimum(b, c), np.maximum(b, c),
    )  # fmt: skip
    low, third, second, high = ranked
    ones = _above(high) - _above(second)
    threes = _above(third) - _above(low)
    diagonals = np.zeros(256, np.intp)
    for one, other in ((low_ad, high_bc), (low_bc, high_ad)):
        split = one > other
        diagonals += _above(one[split]) - _above(other[split])
    euler: npt.NDArray[np.intp] = (ones - threes - 2 * diagonals) // 4
    return euler


def _above(values: Levels) -> npt.NDArray[np.intp]:
    """Return (256,) how many values lie strictly above each level."""
    counts = np.bincount(values.ravel(), minlength=256)
    above: npt.NDArray[np.intp] = counts.sum() - np.cumsum(counts)
    return above


def scaled_truth(boxes: Doubles, width: int, height: int) -> Doubles:
    """Return true boxes on the map's pixels, cut to whole numbers as the reference code does.

    Args:
        boxes: (m, 4) x0 y0 x1 y1, pixels of the image, ends exclusive.
        width: Of the image, pixels.
        height: Of the image, pixels.
    """
    scaled: Doubles = np.trunc(boxes * SIDE / np.array((width, height) * 2))
    return scaled


def best_ious(boxes: Doubles, truth: Doubles) -> Doubles:
    """Return (n,): each box's best IoU with a true one, sides counted with the last pixel.

    Args:
        boxes: (n, 4) boxes of contours.
        truth: (m, 4) true boxes of `scaled_truth`, m > 0.
    """
    low = np.maximum(boxes[:, None, :2], truth[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], truth[None, :, 2:])
    overlap = np.maximum(high - low + 1, 0).prod(axis=2)
    areas = [(each[:, 2:] - each[:, :2] + 1).prod(axis=1) for each in (boxes, truth)]
    ious: Doubles = (overlap / (areas[0][:, None] + areas[1] - overlap)).max(axis=1)
    return ious


def iou_curves(levels: Levels, truth: Doubles) -> Doubles:
    """Return how well the contours' boxes fit at every threshold.

    Args:
        levels: (SIDE, SIDE) uint8 map.
        truth: (m, 4) true boxes of `scaled_truth`, m > 0.

    Returns:
        (2, T) best IoU: of the largest contour's box (V1), and of any contour's (V2).
    """
    found, which = contours_at(levels)
    # One product for all masks: 200 small ones would cost more than the contours.
    every = best_ious(np.concatenate([item.every.reshape(-1, 4) for item in found]), truth)
    counts = np.concatenate([np.full(*item.every.shape[:2]) for item in found])
    starts = np.cumsum(counts) - counts
    largest = best_ious(np.concatenate([item.largest for item in found]), truth)
    curves: Doubles = np.stack([largest, np.maximum.reduceat(every, starts)])[:, which]
    return curves
