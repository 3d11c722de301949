"""The evaluate step: measure every detection against the truth, and report before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.config import Settings
from raypipe.datasets.truth import Truth
from raypipe.engine import Engine
from raypipe.errors import InputError
from raypipe.evaluate.aggregate import aggregate
from raypipe.evaluate.measure import PLAIN, detection_rows, measure, misses
from raypipe.evaluate.pictures import Case, Pick, draw, pick
from raypipe.evaluate.pxap import Pools
from raypipe.evaluate.report import render_html, render_json
from raypipe.evaluate.shown import Report
from raypipe.progress import tracking
from raypipe.storage.images import read_images
from raypipe.storage.parts import Parts
from raypipe.storage.run import Manifest, Plan, Run, slug
from raypipe.tables import CLASSES, DETECTIONS, METRICS, PIXELS

_VERSION = 2  # of what is measured: grows when the same settings give other numbers
_COUNTED = ("classes", "images", "pairs", "fallbacks", "missing", "questions")


def plan(run: Run, settings: Settings, target_set: str) -> Plan:
    """Say what evaluating a set would do.

    Raises:
        InputError: If the set is not indexed or not refined yet.
    """
    return Plan(
        f"evaluate/{target_set}",
        settings.evaluate.identity() | {"metrics_version": _VERSION},
        {step: run.require(f"{step}/{target_set}").identity for step in ("refine", "index")},
    )


def execute(run: Run, settings: Settings, engine: Engine, target_set: str) -> Manifest:
    """Evaluate the detections of a set.

    Writes `metrics.parquet`, `report.json` and `report.html`. An image and class that have truth
    but no detection count as IoU 0, and are counted in the report.

    Args:
        run: The run directory.
        settings: The configuration; only `evaluate` is used.
        engine: A connected cluster.
        target_set: Name of the indexed and refined set.

    Raises:
        InputError: If a step before is missing, or the set has no truth to compare with.
    """
    step = plan(run, settings, target_set)
    # 1. What there is to compare.
    refine = run.require(f"refine/{target_set}")
    rules = tuple(refine.details["rules"])
    detections = Parts.of(run, refine, "detections")
    images = read_images(run, target_set)
    truth = _require_truth(run, target_set)
    run.begin(step)
    # 2. Measure, one task a shard; shards that are there already are kept.
    parts, pixels = Parts(run, step, "metrics"), Parts(run, step, "pixels")
    shards = _waiting(images, detections, parts)
    threshold = settings.evaluate.mask_threshold
    with tracking("evaluating", len(shards), "shards") as tracker:
        for _ in engine.tasks(_measure_shard, shards, detections, parts, pixels, truth, threshold):
            tracker.advance(1)
    measured = pa.concat_tables([METRICS.schema.empty_table(), *parts.read(METRICS)])
    # 3. What should have been detected and was not counts as IoU 0.
    pools = Pools.of(pixels.read(PIXELS))
    missed, nothing, missing = misses(images, measured, truth, (PLAIN, *rules))
    pools.merge(nothing)
    metrics = pa.concat_tables([measured, missed])
    # 4. Numbers.
    titles = _titles(run, target_set)
    report: Report = {
        "set": target_set,
        "fingerprint": step.fingerprint,
        "settings": {"refine": refine.config, "evaluate": step.config},
        **aggregate(
            metrics,
            rules,
            titles,
            refine.details.get("questions", {}),
            pools,
            box_iou=settings.evaluate.box_iou,
            missing=missing,
        ),
    }
    if report["pairs"] == 0:
        raise _no_truth(target_set)
    # 5. Pictures of what changed most.
    worst, best = (
        _cases(picks, images, detections, truth, titles)
        for picks in pick(measured, PLAIN, rules[0], settings.evaluate.worst)
    )
    # 6. Tables and pages, then the manifest.
    folder = run.step(step.step)
    run.write(METRICS, metrics, step.step, "metrics.parquet")
    (folder / "report.json").write_bytes(render_json(report).encode())
    (folder / "report.html").write_bytes(render_html(report, worst, best).encode())
    parts.remove_others()
    pixels.remove_others()
    summary = {
        name: value for name, value in report.items() if name not in {"per_class", "settings"}
    }
    return run.finish(step, {name: report[name] for name in _COUNTED}, summary)


def _require_truth(run: Run, target_set: str) -> Truth:
    """Return the truth of a set that has any."""
    counts = run.require(f"index/{target_set}").counts
    if not counts["boxes"] + counts["masks"]:
        raise _no_truth(target_set)
    return Truth(run, target_set)


def _no_truth(target_set: str) -> InputError:
    return InputError(
        f"set {target_set}: no true boxes and no masks of its classes, nothing to evaluate with",
        "name a split that has annotations with --split, or --dataset and --root",
    )


def _titles(run: Run, target_set: str) -> dict[str, str]:
    """Return the classes' names for people, in the dataset's order."""
    classes = run.read(CLASSES, "index", target_set, "classes.parquet")
    return dict(zip(classes["class"].to_pylist(), classes["title"].to_pylist(), strict=True))


def _waiting(images: pa.Table, detections: Parts, parts: Parts) -> list[str]:
    """Return the shards that have detections and no metrics yet."""
    refined, done = detections.done(), parts.done()
    return [
        shard
        for shard in images["shard"].unique().to_pylist()
        if slug(shard) in refined and slug(shard) not in done
    ]


def _measure_shard(
    shard: str, detections: Parts, parts: Parts, pixels: Parts, truth: Truth, threshold: float
) -> int:
    """Measure one shard in a task; return its rows."""
    metrics, pools = measure(_read(detections, shard), truth, threshold)
    pixels.place(shard).write_table(pools.table())  # first: a shard with metrics is done
    parts.place(shard).write_table(metrics)
    return int(metrics.num_rows)


def _read(detections: Parts, shard: str) -> pa.Table:
    place = detections.place(shard)
    return DETECTIONS.check(place.read_table(), str(place))


def _cases(
    picks: Sequence[Pick], images: pa.Table, detections: Parts, truth: Truth, titles: dict[str, str]
) -> list[Case]:
    """Draw the picked pairs from their images and detections."""
    wanted = pa.array({item.image_id for item in picks}, pa.string())
    found: dict[str, dict[str, Any]] = {
        row["image_id"]: row
        for row in images.filter(pc.is_in(images["image_id"], wanted)).to_pylist()
    }
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for shard in sorted({image["shard"] for image in found.values()}):
        table = _read(detections, shard)
        for row in detection_rows(table.filter(pc.is_in(table["image_id"], wanted))):
            rows[row["image_id"], row["class"], row["rule"]] = row
    return [
        draw(
            item,
            found[item.image_id]["uri"],
            titles[item.name],
            truth.boxes(item.image_id, item.name),
            (
                rows[item.image_id, item.name, item.plain["rule"]],
                rows[item.image_id, item.name, item.refined["rule"]],
            ),
        )
        for item in picks
    ]
