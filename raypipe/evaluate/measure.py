"""From predictions and truth to rows of `metrics`; no Ray, the images of one shard at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raypipe.datasets.truth import ClassMask, Labels, Truth
from raypipe.evaluate.boxes import (
    NO_HITS,
    best_iou,
    box_hits,
    peak,
    peak_inside,
    stretched_grid,
)
from raypipe.evaluate.contours import SIDE
from raypipe.evaluate.fitting import Frame, PairTruth, Size, image_labels, pair_truth
from raypipe.evaluate.masks import NOTHING_FOUND, overlaps, pixel_scores
from raypipe.evaluate.predictions import Pair, Prediction, Row, Source
from raypipe.evaluate.pxap import Counts, histograms, pixel_rows
from raypipe.maps import Doubles, Floats, foreground, upsampled
from raypipe.tables import METRICS, OVERLAPS

_EMPTY: Mapping[str, Any] = {
    "box_iou": None, "box_hits": None, "rank": None, "peak_inside": None,
    "iou": None, "precision": None, "recall": None, "fallback": False,
}  # fmt: skip


@dataclass
class Measured:
    """What was measured of some images.

    Attributes:
        rows: Of `metrics`, one a pair of image and class and rule.
        pixels: Image, class, rule and histograms of a map: what PxAP is made of.
        overlaps: Rows of `overlaps`: what mean IoU is made of.
    """

    rows: list[Row] = field(default_factory=list)
    pixels: list[tuple[str, str, str, Counts]] = field(default_factory=list)
    overlaps: list[Row] = field(default_factory=list)

    def tables(self) -> tuple[pa.Table, pa.Table, pa.Table]:
        """Return the rows of `metrics`, `pixels` and `overlaps`."""
        return METRICS.build(self.rows), pixel_rows(self.pixels), OVERLAPS.build(self.overlaps)


def measure(
    images: Iterable[Mapping[str, Any]],
    sources: Mapping[str, Source],
    truth: Truth,
    mask_threshold: float,
    ranks: Mapping[Pair, int] | None = None,
) -> Measured:
    """Compare what several rules say of images with the truth.

    A pair is an image and one of its labels, or, where it has none, a class that a rule found. Of
    a pair every rule has a row; one that says nothing of it has missed it, and what it would have
    been judged by counts against it.

    Args:
        images: Rows of the `images` table.
        sources: Predictions by rule; the first rule is what the others are compared with.
        truth: Truth of the images.
        mask_threshold: A pixel is predicted above this share of its map's maximum.
        ranks: Place of a class among the predicted ones, instead of the network's own.

    Raises:
        InputError: If a mask or a map cannot be decoded.
    """
    found = Measured()
    first = next(iter(sources))
    for image in images:
        image_id = image["image_id"]
        names = list(image["classes"]) or _predicted(image_id, sources)
        known = {
            rule: {name: source.find(image_id, name) for name in names}
            for rule, source in sources.items()
        }
        frame = _frame(known.values(), truth.size(image_id))
        pairs = {name: pair_truth(truth, image_id, name, frame) for name in names}
        labels = image_labels(truth, image_id, frame)
        present = truth.present(image_id)
        for rule, predictions in known.items():
            drawing = None if labels is None else _Drawing(labels, truth.names)
            for name, prediction in predictions.items():
                place = _rank(prediction, (image_id, name), ranks, ranked=sources[rule].ranked)
                row = {**_EMPTY, "image_id": image_id, "class": name, "rule": rule, "rank": place}
                pair = pairs[name] if sources[rule].mapped else pairs[name].without_boxes()
                judged, counts = _judged(prediction, pair, name, mask_threshold, drawing)
                found.rows.append(row | judged)
                if counts is not None:
                    found.pixels.append((image_id, name, rule, counts))
            if drawing is not None:
                found.overlaps += drawing.rows(image_id, rule, present | set(names))
        found.rows += [
            {**_EMPTY, "image_id": image_id, "class": name, "rule": first, "notes": ["unlabelled"]}
            for name in sorted(present - set(names))
        ]
    return found


def _predicted(image_id: str, sources: Mapping[str, Source]) -> list[str]:
    """Return the classes that rules found in an image, in the order they come in."""
    return list(
        dict.fromkeys(name for source in sources.values() for name in source.classes(image_id))
    )


def _frame(known: Iterable[Mapping[str, Prediction | None]], truth: Size | None) -> Frame:
    """Return the frame of an image; where nothing was said of it, that of its truth."""
    sizes = ((each.width, each.height) for found in known for each in found.values() if each)
    return Frame.of(next(sizes, truth or (1, 1)), truth)


def _rank(
    prediction: Prediction | None, pair: Pair, ranks: Mapping[Pair, int] | None, *, ranked: bool
) -> int | None:
    """Return the place of a pair's class; 0 is nowhere, None not known."""
    if ranks is not None:
        return ranks.get(pair, 0)
    if prediction is None:
        return 0 if ranked else None
    return prediction.rank


class _Drawing:
    """An image's pixels by one rule, each of one class at most: the one whose map is highest.

    Args:
        truth: (H, W) true labels.
        names: The classes of the labels.
    """

    def __init__(self, truth: Labels, names: Sequence[str]) -> None:
        self._truth, self._names = truth, names
        self._labels = np.zeros(truth.shape, np.int16)
        self._highest = np.zeros(truth.shape, np.float32)

    def add(self, name: str, scores: Floats, mask: npt.NDArray[np.bool_]) -> None:
        """Draw a class's mask where its scores are higher than those before."""
        if name in self._names:
            higher = mask & (scores > self._highest)
            self._labels[higher] = self._names.index(name) + 1
            self._highest[higher] = scores[higher]

    def rows(self, image_id: str, rule: str, present: Collection[str]) -> list[Row]:
        """Return the rows of `overlaps` of the background and the classes that may be there."""
        counted = overlaps(self._labels, self._truth, self._names, present)
        return [{"image_id": image_id, "rule": rule, **row} for row in counted]


def _judged(
    prediction: Prediction | None,
    pair: PairTruth,
    name: str,
    threshold: float,
    drawing: _Drawing | None,
) -> tuple[Row, Counts | None]:
    """Return the columns that a prediction is judged by, and the histograms of its map."""
    if prediction is None:
        return _missed(pair)
    shape = (prediction.height, prediction.width)
    image_map = None if prediction.map is None else upsampled(prediction.map, *shape)
    mask = prediction.mask
    if mask is None and image_map is not None and (drawing is not None or pair.mask is not None):
        mask = foreground(image_map, threshold)
    row: Row = {"fallback": prediction.fallback, "notes": list(pair.notes)}
    if mask is not None and drawing is not None:
        drawing.add(name, mask.astype(np.float32) if image_map is None else image_map, mask)
    if mask is not None and pair.mask is not None:
        row |= vars(pixel_scores(mask, pair.mask))
    if prediction.map is None or image_map is None:
        return row, None
    row["peak_inside"] = _peak_inside(image_map, pair.boxes, pair.mask)
    if len(pair.boxes):
        row["box_iou"] = best_iou(prediction.boxes, pair.boxes)
    counts = None
    if len(pair.boxes) or pair.mask is not None:
        small = stretched_grid(prediction.map)
        if len(pair.boxes):
            row["box_hits"] = box_hits(small, pair.boxes, prediction.width, prediction.height)
        if pair.mask is not None:
            counts = histograms(small, pair.mask)
    return row, counts


def _missed(pair: PairTruth) -> tuple[Row, Counts | None]:
    """Return the columns of a pair that a rule says nothing of, and its pixels' histograms."""
    row: Row = {"notes": [*pair.notes, "missing"]}
    counts = None
    if len(pair.boxes):
        row |= {"box_iou": 0.0, "box_hits": NO_HITS}
    if pair.mask is not None:
        row |= vars(NOTHING_FOUND)
        counts = histograms(np.zeros((SIDE, SIDE)), pair.mask)
    if len(pair.boxes) or pair.mask is not None:
        row["peak_inside"] = False
    return row, counts


def _peak_inside(image_map: Floats, boxes: Doubles, mask: ClassMask | None) -> bool | None:
    """Play the pointing game with the boxes, or with the mask where there are none."""
    if len(boxes):
        return peak_inside(image_map, boxes)
    if mask is None:
        return None
    return bool(image_map.max() > 0 and (mask.inside & mask.valid)[peak(image_map)])
