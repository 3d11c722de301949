"""From detections and truth to rows of `metrics`; no Ray, one shard or the whole set alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from raypipe.datasets.truth import ClassMask, Truth
from raypipe.errors import InputError
from raypipe.evaluate.boxes import (
    NO_HITS,
    best_iou,
    box_hits,
    peak,
    peak_inside,
    stretched_grid,
)
from raypipe.evaluate.contours import SIDE
from raypipe.evaluate.masks import NOTHING_FOUND, PixelScores, has_pixels, pixel_scores
from raypipe.evaluate.pxap import Pools, histograms
from raypipe.maps import Doubles, Floats, upsampled
from raypipe.tables import METRICS

Row = dict[str, Any]

PLAIN = "plain"
"""The rule of detections that were not refined."""


def detection_rows(detections: pa.Table) -> Iterator[Row]:
    """Yield rows of `detections` whose map is a (grid_height, grid_width) float32 array.

    Their boxes are an (n, 4) float64 array.
    """
    maps = detections["map"]
    light = detections.drop_columns(["map"]).to_pylist()
    for index, row in enumerate(light):
        # Not through to_pylist: a Python float a cell would cost more than the metrics.
        cells = maps[index].values.to_numpy(zero_copy_only=False).astype(np.float32)
        boxes = [[box[side] for side in ("x0", "y0", "x1", "y1")] for box in row["boxes"]]
        yield row | {
            "map": cells.reshape(row["grid_height"], row["grid_width"]),
            "boxes": np.array(boxes, dtype=np.float64).reshape(-1, 4),
        }


def measure(detections: pa.Table, truth: Truth, mask_threshold: float) -> tuple[pa.Table, Pools]:
    """Compare detections with the truth.

    Args:
        detections: Rows of the `detections` table.
        truth: Truth of their set.
        mask_threshold: A pixel is predicted above this share of its map's maximum.

    Returns:
        One row of the `metrics` table a detection, in their order, and what PxAP is made of.

    Raises:
        InputError: If a mask cannot be decoded or is not of its image's size.
    """
    pools = Pools()
    rows = [_measured(row, truth, mask_threshold, pools) for row in detection_rows(detections)]
    return METRICS.build(rows), pools


def misses(
    images: pa.Table, metrics: pa.Table, truth: Truth, rules: Sequence[str]
) -> tuple[pa.Table, Pools, int]:
    """Find what was never detected: rejected images, shards that are not there.

    Args:
        images: Rows of the `images` table; each image should have a detection of each label.
        metrics: What was measured.
        truth: Truth of the set.
        rules: Rules that should all have a detection.

    Returns:
        Rows of the `metrics` table that count such pairs as IoU 0, their masks' pixels, all with
        the lowest score, and the number of (image, class) pairs among them. Pairs without any
        truth are left out.
    """
    keys = (metrics[name].to_pylist() for name in ("image_id", "class", "rule"))
    found = set(zip(*keys, strict=True))
    rows: list[Row] = []
    pools = Pools()
    pairs = 0
    for image in images.select(["image_id", "classes"]).to_pylist():
        for name in image["classes"]:
            pair = (image["image_id"], name)
            absent = [rule for rule in rules if (*pair, rule) not in found]
            zero = _missed(*pair, truth) if absent else None
            if zero is not None:
                pairs += 1
                rows += [zero | {"rule": rule} for rule in absent]
                _pool_nothing(pools, *pair, absent, truth)
    return METRICS.build(rows), pools, pairs


def _measured(row: Row, truth: Truth, mask_threshold: float, pools: Pools) -> Row:
    """Return one detection's row of `metrics`, and add its pixels to the pools."""
    image_id, name, height, width = (row[key] for key in ("image_id", "class", "height", "width"))
    boxes, mask = truth.boxes(image_id, name), truth.mask(image_id, name)
    image_map = upsampled(row["map"], height, width)
    scores = _scores(image_id, image_map, mask, mask_threshold)
    small = stretched_grid(row["map"]) if len(boxes) or scores else None
    if scores is not None and mask is not None and small is not None:
        pools.add(name, row["rule"], histograms(small, mask))
    return {
        "image_id": image_id,
        "class": name,
        "rule": row["rule"],
        "box_iou": best_iou(row["boxes"], boxes),
        "box_hits": None if not len(boxes) or small is None
                    else box_hits(small, boxes, width, height),
        "peak_inside": _peak_inside(image_map, boxes, mask if scores else None),
        **_pixel_columns(scores),
        "fallback": row["fallback"],
    }  # fmt: skip


def _peak_inside(image_map: Floats, boxes: Doubles, mask: ClassMask | None) -> bool | None:
    """Play the pointing game with the boxes, or with the mask where there are none."""
    if len(boxes):
        return peak_inside(image_map, boxes)
    if mask is None:
        return None
    return bool(image_map.max() > 0 and (mask.inside & mask.valid)[peak(image_map)])


def _pool_nothing(
    pools: Pools, image_id: str, name: str, rules: Sequence[str], truth: Truth
) -> None:
    """Add the pixels of a mask that nothing was detected of."""
    mask = truth.mask(image_id, name)
    if mask is not None and has_pixels(mask):
        counts = histograms(np.zeros((SIDE, SIDE)), mask)
        for rule in rules:
            pools.add(name, rule, counts)


def _scores(
    image_id: str, image_map: Floats, mask: ClassMask | None, threshold: float
) -> PixelScores | None:
    """Return the pixel metrics of a map at image size, or None where there is no truth."""
    if mask is None or not has_pixels(mask):
        return None
    if mask.inside.shape != image_map.shape:
        sizes = [f"{width} x {height}" for height, width in (mask.inside.shape, image_map.shape)]
        raise InputError(
            f"{image_id}: its mask has {sizes[0]} pixels, the image {sizes[1]}",
            "give the mask the image's size, in the frame after EXIF rotation",
        )
    return pixel_scores(image_map, mask, threshold)


def _missed(image_id: str, name: str, truth: Truth) -> Row | None:
    """Return the row of a pair that was never detected, or None if there is no truth for it."""
    boxed = len(truth.boxes(image_id, name)) > 0
    masked = has_pixels(truth.mask(image_id, name))
    if not boxed and not masked:
        return None
    return {
        "image_id": image_id,
        "class": name,
        "box_iou": 0.0 if boxed else None,
        "box_hits": NO_HITS if boxed else None,
        "peak_inside": False,
        **_pixel_columns(NOTHING_FOUND if masked else None),
        "fallback": False,
    }


def _pixel_columns(scores: PixelScores | None) -> Row:
    if scores is None:
        return {"iou": None, "precision": None, "recall": None}
    return {"iou": scores.iou, "precision": scores.precision, "recall": scores.recall}
