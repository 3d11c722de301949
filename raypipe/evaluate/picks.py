"""Which pairs the report shows: those that refining changed most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa


@dataclass(frozen=True)
class Pick:
    """A pair of image and class that is worth a look.

    Attributes:
        image_id: The image.
        name: The class.
        shard: Where the image is.
        plain: Its row of `metrics` before.
        refined: Its row after.
        change: What refining did to its IoU, -1..1: the box's, or the mask's without true boxes.
    """

    image_id: str
    name: str
    shard: str
    plain: Mapping[str, Any]
    refined: Mapping[str, Any]
    change: float


def picks(metrics: pa.Table, shard: str, plain: str, refined: str) -> list[Pick]:
    """Return every pair of a shard that both rules have found.

    Args:
        metrics: What was measured.
        shard: The shard.
        plain: Rule before.
        refined: Rule after.
    """
    pairs: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    light = metrics.select(["image_id", "class", "rule", "box_iou", "iou", "notes"])
    for row in light.to_pylist():
        if row["rule"] in {plain, refined} and not {"missing", "unlabelled"} & set(row["notes"]):
            pairs.setdefault((row["image_id"], row["class"]), {})[row["rule"]] = row
    return [
        Pick(*pair, shard, rows[plain], rows[refined],
             _judged(rows[refined]) - _judged(rows[plain]))
        for pair, rows in pairs.items()
        if plain in rows and refined in rows
    ]  # fmt: skip


def losses(found: Iterable[Pick], count: int | None = None) -> list[Pick]:
    """Return the pairs that lost most, at most so many, the largest loss first."""
    lost = [item for item in found if item.change < 0]
    return sorted(lost, key=lambda item: (item.change, item.image_id, item.name))[:count]


def gains(found: Iterable[Pick], count: int | None = None) -> list[Pick]:
    """Return the pairs that gained most, at most so many, the largest gain first."""
    won = [item for item in found if item.change > 0]
    return sorted(won, key=lambda item: (-item.change, item.image_id, item.name))[:count]


def _judged(row: Mapping[str, Any]) -> float:
    """Return the IoU that a change is measured by; 0 without any truth."""
    return float(row["iou"] or 0.0) if row["box_iou"] is None else float(row["box_iou"])
