"""The masks step: every detection's mask at image size, by a threshold or by a dense CRF."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raypipe import rle
from raypipe.config import MasksConfig, Settings
from raypipe.engine import Engine
from raypipe.errors import InputError
from raypipe.masks.thresholds import threshold_masks
from raypipe.progress import say, tracking
from raypipe.storage.blob import read_blob
from raypipe.storage.detections import detection_rows
from raypipe.storage.images import ShardReader, read_shards, uris
from raypipe.storage.parts import Parts
from raypipe.storage.run import Manifest, Plan, Run, slug
from raypipe.tables import DETECTIONS, MASKS

_THRESHOLD, _CRF = "threshold", "crf"

Row = dict[str, Any]


def plan(run: Run, settings: Settings, target_set: str) -> Plan:
    """Say what drawing the masks of a set would do.

    Raises:
        InputError: If the set is not refined, or not by a rule that is asked for.
    """
    refine = run.require(f"refine/{target_set}")
    known = ["plain", *refine.details["rules"]]
    rules = list(settings.masks.rules) or known[1:2]
    unknown = [rule for rule in rules if rule not in known]
    if unknown:
        raise InputError(
            f"{run}: set {target_set} has no detections by rule {', '.join(unknown)}",
            f"its rules are {', '.join(known)}",
        )
    return Plan(
        f"masks/{target_set}",
        settings.masks.identity() | {"rules": rules},
        {"refine": refine.identity, "index": run.require(f"index/{target_set}").identity},
    )


def execute(run: Run, settings: Settings, engine: Engine, target_set: str) -> Manifest:
    """Draw what is not drawn yet, a task a shard.

    A CRF needs the image. One that cannot be read any more, or whose size is another one than when
    it was refined, keeps the threshold's mask; how many do is said and counted.

    Args:
        run: The run directory.
        settings: The configuration.
        engine: A connected cluster.
        target_set: Name of the refined set.

    Raises:
        InputError: If a step before is missing.
    """
    step = plan(run, settings, target_set)
    detections = Parts.of(run, run.require(f"refine/{target_set}"), DETECTIONS.name)
    parts = Parts(run, step, MASKS.name)
    work = _Work(
        ShardReader.of(run, target_set), detections, parts, tuple(step.config["rules"]),
        settings.masks, settings.engine.max_pixels,
    )  # fmt: skip
    run.begin(step)
    # 1. One task a shard; shards that are there already are kept.
    shards = read_shards(run, target_set).to_pylist()
    refined, done = detections.done(), parts.done()
    waiting = [row for row in shards if slug(row["shard"]) in refined - done]
    with tracking("masks", len(shards), "shards") as tracker:
        tracker.skip(len(shards) - len(waiting))
        for _ in engine.tasks(_draw_shard, waiting, work):
            tracker.advance(1)
    # 2. The manifest, last.
    parts.remove_others()
    counts: Counter[str] = Counter(masks=0, empty=0, thresholded=0)
    for rows in parts.read(MASKS, ["pixels", "drawn"]):
        drawn = rows["drawn"].to_pylist()
        counts["masks"] += rows.num_rows
        counts["empty"] += rows["pixels"].to_pylist().count(0)
        counts["thresholded"] += drawn.count(_THRESHOLD) if settings.masks.crf else 0
    if counts["thresholded"]:
        say(f"{step.step}: {counts['thresholded']:,} masks are the threshold's, their images "
            "cannot be read or have another size now")  # fmt: skip
    return run.finish(step, dict(counts))


@dataclass(frozen=True)
class _Work:
    """What a task needs; small and picklable.

    Attributes:
        index: Images of the set.
        detections: Files of its detections.
        parts: Where masks go.
        rules: Rules to draw.
        config: How masks are made.
        max_pixels: The CRF looks at no larger images.
    """

    index: ShardReader
    detections: Parts
    parts: Parts
    rules: tuple[str, ...]
    config: MasksConfig
    max_pixels: int


def _draw_shard(row: Mapping[str, Any], work: _Work) -> int:
    """Draw one shard in a task; return its masks."""
    shard = row["shard"]
    images = work.index.read(shard, row["part"])
    rows = work.detections.rows(DETECTIONS, shard)
    rows = rows.filter(pc.is_in(rows["rule"], pa.array(work.rules, pa.string())))
    rows = rows.sort_by([(name, "ascending") for name in ("image_id", "rule", "class")])
    made = list(_drawn(rows, uris(images), work))
    work.parts.place(shard).write_table(MASKS.build(made))
    return len(made)


def _drawn(rows: pa.Table, places: Mapping[str, str], work: _Work) -> Iterator[Row]:
    """Yield the masks of a shard, image after image."""
    for image_id, items in groupby(detection_rows(rows), key=itemgetter("image_id")):
        own = list(items)
        height, width = own[0]["height"], own[0]["width"]
        image = _pixels(places[image_id], height, width, work) if work.config.crf else None
        for rule, found in groupby(own, key=itemgetter("rule")):
            of_rule = list(found)
            masks = _masks([row["map"] for row in of_rule], height, width, image, work.config)
            for row, mask in zip(of_rule, masks, strict=True):
                yield {
                    "image_id": image_id, "class": row["class"], "rule": rule, "width": width,
                    "height": height, "counts": rle.encode(mask), "pixels": int(mask.sum()),
                    "drawn": _THRESHOLD if image is None else _CRF,
                }  # fmt: skip


def _masks(
    grids: Sequence[npt.NDArray[np.float32]],
    height: int,
    width: int,
    image: npt.NDArray[np.uint8] | None,
    config: MasksConfig,
) -> npt.NDArray[np.bool_]:
    """Return the masks of an image's classes by one rule, (C, H, W)."""
    if image is None:
        return threshold_masks(grids, height, width, config.threshold)
    import torch

    from raypipe.masks.masks import crf_masks  # torch: only where it is asked for

    torch.set_num_threads(1)  # a task has one CPU
    return crf_masks(grids, image, config)


def _pixels(uri: str, height: int, width: int, work: _Work) -> npt.NDArray[np.uint8] | None:
    """Return an image's pixels; None if it is not what was refined any more."""
    from raypipe.loading.decode import RejectedError, decode_whole

    try:
        pixels = decode_whole(read_blob(uri), work.max_pixels)
    except (InputError, RejectedError):
        return None
    return pixels if pixels.shape[:2] == (height, width) else None
