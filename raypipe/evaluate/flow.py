"""The evaluate step: measure every detection against the truth, and report before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from raypipe.config import Settings
from raypipe.datasets.annotations import Annotations, read_annotations
from raypipe.datasets.truth import Truth
from raypipe.engine import Engine
from raypipe.errors import InputError
from raypipe.evaluate.aggregate import Answers, aggregate
from raypipe.evaluate.picks import Pick, gains, losses
from raypipe.evaluate.pictures import Case, draw
from raypipe.evaluate.predictions import Source
from raypipe.evaluate.report import render_html, render_json
from raypipe.evaluate.shards import Work, measure_shard, sources, stamp
from raypipe.evaluate.shown import Report
from raypipe.evaluate.totals import Question
from raypipe.progress import tracking
from raypipe.storage.images import read_images, read_shards, uris
from raypipe.storage.run import Manifest, Plan, Run, slug
from raypipe.tables import CLASSES, TRUTH

_VERSION = 3  # of what is measured: grows when the same settings give other numbers
_COUNTED = ("classes", "images", "pairs", "fallbacks", "missing", "questions")


def plan(run: Run, settings: Settings, target_set: str) -> Plan:
    """Say what evaluating a set would do.

    Raises:
        InputError: If the set is not indexed, or neither refined nor are there other maps of it.
    """
    target = settings.target
    others = target.maps and run.manifest(f"refine/{target_set}") is None
    steps = ["index"] if others else ["refine", "index"]
    given = {"truth": target.truth, "predictions": target.predictions}
    given |= {f"maps {name}": path for name, path in target.maps.items()}
    upstream = {step: run.require(f"{step}/{target_set}").identity for step in steps}
    masks = run.manifest(f"masks/{target_set}")
    if masks and masks.config["crf"] and masks.upstream["refine"] == upstream.get("refine"):
        upstream["masks"] = masks.identity
    return Plan(
        f"evaluate/{target_set}",
        settings.evaluate.identity()
        | {"truth": target.truth, "maps": dict(target.maps), "predictions": target.predictions}
        | {"metrics_version": _VERSION},
        upstream | {name: stamp(path) for name, path in given.items() if path},
    )


def execute(run: Run, settings: Settings, engine: Engine, target_set: str) -> Manifest:
    """Evaluate the detections of a set, and other methods' maps of it.

    Writes `metrics`, `pixels` and `overlaps` a shard, `report.json` and `report.html`. A pair of
    image and class that has truth and that a rule says nothing of counts as IoU 0.

    Args:
        run: The run directory.
        settings: The configuration; `evaluate` and `target` are used.
        engine: A connected cluster.
        target_set: Name of the indexed set.

    Raises:
        InputError: If a step before is missing, or the set has no truth to compare with.
        ConfigError: If other maps are called as a rule is.
    """
    step = plan(run, settings, target_set)
    # 1. What there is to compare.
    titles = _titles(run, target_set)
    given = _annotations(run, settings.target.truth, target_set, titles)
    work = Work.of(run, settings, step, target_set, given.table if given else None)
    run.begin(step)
    if given:
        run.write(TRUTH, given.table, step.step, "truth.parquet")
    # 2. Measure, one task a shard; shards that are there already are kept.
    shards = read_shards(run, target_set).to_pylist()
    done = work.written.metrics_parts.done()
    waiting = [row for row in shards if slug(row["shard"]) not in done]
    with tracking("evaluating", len(shards), "shards") as tracker:
        tracker.skip(len(shards) - len(waiting))
        for _ in engine.tasks(measure_shard, waiting, work):
            tracker.advance(1)
    # 3. Numbers.
    refine = run.require(f"refine/{target_set}") if work.detections else None
    details = refine.details if refine else {}
    asked = Question(work.rules, settings.evaluate.box_iou, settings.evaluate.worst)
    numbers, totals = aggregate(
        [row["shard"] for row in shards],
        work.written,
        asked,
        titles,
        Answers(details.get("questions", {}), details.get("seconds", {})),
        partial(_spread, engine),
    )
    if numbers["pairs"] == 0:
        raise _no_truth(target_set)
    report: Report = {
        "set": target_set,
        "fingerprint": step.fingerprint,
        "settings": {"refine": refine.config if refine else {}, "evaluate": step.config},
        **numbers,
        "policy": numbers["policy"] | (given.policy if given else {}),
    }
    # 4. Pictures of what changed most.
    count = settings.evaluate.worst
    worst, best = (
        _cases(picked, work, shards, titles)
        for picked in (losses(totals.changes, count), gains(totals.changes, count))
    )
    # 5. Pages, then the manifest.
    folder = run.step(step.step)
    (folder / "report.json").write_bytes(render_json(report).encode())
    (folder / "report.html").write_bytes(render_html(report, worst, best).encode())
    work.written.remove_others()
    summary = {
        name: value for name, value in report.items() if name not in {"per_class", "settings"}
    }
    return run.finish(step, {name: report[name] for name in _COUNTED}, summary)


def _spread(
    engine: Engine, function: Callable[..., Any], items: Sequence[Any], *shared: object
) -> Iterator[tuple[Any, Any]]:
    """Add up in tasks, and show how far that is."""
    with tracking("adding up", len(items), "parts") as tracker:
        for found in engine.tasks(function, items, *shared):
            tracker.advance(1)
            yield found


def _annotations(
    run: Run, path: str, target_set: str, titles: Mapping[str, str]
) -> Annotations | None:
    """Return the truth of a file; None for the index's own.

    Raises:
        InputError: If there is neither.
    """
    if path:
        ids = read_images(run, target_set, ["image_id"])["image_id"].to_pylist()
        return read_annotations(path, ids, list(titles.items()))
    counts = run.require(f"index/{target_set}").counts
    if not counts["boxes"] + counts["masks"]:
        raise _no_truth(target_set)
    return None


def _no_truth(target_set: str) -> InputError:
    return InputError(
        f"set {target_set}: no true boxes and no masks of its classes, nothing to evaluate with",
        "name a split that has annotations with --split, or a truth file with --truth",
    )


def _titles(run: Run, target_set: str) -> dict[str, str]:
    """Return the classes' names for people, in the dataset's order."""
    classes = run.read(CLASSES, "index", target_set, "classes.parquet")
    return dict(zip(classes["class"].to_pylist(), classes["title"].to_pylist(), strict=True))


def _cases(
    picked: Sequence[Pick], work: Work, shards: Iterable[Mapping[str, Any]],
    titles: Mapping[str, str],
) -> list[Case]:  # fmt: skip
    """Draw the picked pairs from their images and what was said of them."""
    parts = {row["shard"]: row["part"] for row in shards}
    found: dict[str, tuple[dict[str, str], Truth, dict[str, Source]]] = {}
    for shard in {item.shard for item in picked}:
        images = work.index.read(shard, parts[shard])
        truth = work.truth(images, parts[shard])
        found[shard] = uris(images), truth, sources(work, shard, images, truth)
    cases = []
    for item in picked:
        places, truth, judged = found[item.shard]
        plain, refined = (
            judged[row["rule"]].find(item.image_id, item.name) for row in (item.plain, item.refined)
        )
        if plain is not None and refined is not None:
            boxes = truth.boxes(item.image_id, item.name)
            photo = places[item.image_id]
            cases.append(draw(item, photo, titles[item.name], boxes, (plain, refined)))
    return cases
