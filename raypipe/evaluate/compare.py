"""Two runs side by side: their metrics on the pairs that both have, and their settings."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.errors import InputError
from raypipe.evaluate.measure import PLAIN
from raypipe.evaluate.paired import draws
from raypipe.evaluate.report import environment
from raypipe.evaluate.resampled import Sample, resample
from raypipe.evaluate.shown import flat
from raypipe.storage.run import Run
from raypipe.tables import METRICS

Comparison = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """One of the two runs.

    Attributes:
        run: The run.
        rule: The rule that is compared.
        report: Its report.
        rows: Its rows of `metrics` by that rule.
    """

    run: Run
    rule: str
    report: dict[str, Any]
    rows: pa.Table


def compare(a: Side, b: Side) -> Comparison:
    """Compare two evaluations of the same set.

    Returns:
        What the command prints as JSON: `set`, `a` and `b` with their counts, `pairs` that both
        have, `metrics` and `per_class` with `a`, `b`, `difference`, `interval` and `p`, and the
        `settings` that differ.

    Raises:
        InputError: If the two have no pair of image and class in common.
    """
    first, second = _pairs(a.rows), _pairs(b.rows)
    both = sorted(first.keys() & second.keys(), key=lambda pair: (pair[1], pair[0]))
    if not both:
        raise InputError(
            f"{a.run} and {b.run}: no image and class in common in set {a.report['set']}",
            "evaluate both runs on the same dataset and split",
        )
    names = sorted({name for _, name in both})
    left = _sample(a, [first[pair] for pair in both])
    right = _sample(b, [second[pair] for pair in both])
    metrics, classes = _measured(left, right, both, names)
    images = Counter(name for _, name in both)
    titles = {name: item["title"] for name, item in a.report["per_class"].items()}
    return {
        "set": a.report["set"],
        "pairs": len(both),
        "images": len({image for image, _ in both}),
        "classes": len(names),
        "a": _told(a, len(first) - len(both)),
        "b": _told(b, len(second) - len(both)),
        "metrics": metrics,
        "per_class": {
            name: {"title": titles.get(name, name), "images": images[name], **values}
            for name, values in zip(names, classes, strict=True)
        },
        "settings": _differing(a.report["settings"], b.report["settings"]),
    }


def open_side(run: Run, target_set: str | None, rule: str | None) -> Side:
    """Read one side.

    Args:
        run: The run.
        target_set: The evaluated set, or None for the only one.
        rule: The rule, or None for the one that its report calls refined.

    Raises:
        InputError: If the run, its evaluation or the rule is not there.
    """
    if not run.root.exists():
        raise InputError(f"{run}: there is no such run", "name two run directories")
    name = target_set or _only_set(run)
    run.require(f"evaluate/{name}")
    report = json.loads((run.step(f"evaluate/{name}") / "report.json").read_text())
    rows = run.read(METRICS, "evaluate", name, "metrics.parquet")
    known = sorted(rows["rule"].unique().to_pylist())
    chosen = rule or next((item for item in report["rules"] if item != PLAIN), PLAIN)
    if chosen not in known:
        raise InputError(f"{run}: no rule {chosen} in set {name}", f"it has {', '.join(known)}")
    mine = rows.filter(pc.equal(rows["rule"], chosen))
    judged = pc.or_(mine["box_iou"].is_valid(), mine["iou"].is_valid())
    return Side(run, chosen, report, mine.filter(judged))


def same_set(a: Side, b: Side) -> None:
    """Refuse to compare evaluations of different sets.

    Raises:
        InputError: If the two sides are of different sets.
    """
    if a.report["set"] != b.report["set"]:
        raise InputError(
            f"{a.run} is evaluated on {a.report['set']}, {b.run} on {b.report['set']}",
            "name a set that both have with --set, or evaluate one of them on the other's",
        )


def render(comparison: Comparison) -> str:
    """Return the comparison as one page that needs nothing else."""
    return environment().get_template("compare.html").render(comparison=comparison)


def _only_set(run: Run) -> str:
    """Return the set that a run is evaluated on."""
    folder = run.step("evaluate")
    entries = folder.entries() if folder.exists() else []
    names = sorted(str(entry.base_name) for entry in entries)
    found = [name for name in names if run.manifest(f"evaluate/{name}") is not None]
    if not found:
        raise InputError(f"{run}: not evaluated", f"run `raypipe evaluate --run {run}` first")
    if len(found) > 1:
        raise InputError(f"{run}: evaluated on {', '.join(found)}", "choose one with --set")
    return found[0]


def _pairs(rows: pa.Table) -> dict[tuple[str, str], int]:
    """Return the row of each pair of image and class."""
    keys = zip(rows["image_id"].to_pylist(), rows["class"].to_pylist(), strict=True)
    return {pair: index for index, pair in enumerate(keys)}


def _sample(side: Side, order: list[int]) -> Sample:
    """Take the pairs in that order, judged as the side's own report is."""
    box_iou = float(side.report["settings"]["evaluate"]["box_iou"])
    return Sample.of(side.rows.take(pa.array(order, pa.int64())), box_iou)


def _measured(
    a: Sample, b: Sample, pairs: list[tuple[str, str]], names: list[str]
) -> tuple[Comparison, list[Comparison]]:
    """Return the metrics over all classes, and those of each class."""
    images = np.unique([image for image, _ in pairs], return_inverse=True)[1]
    codes = np.searchsorted(names, [name for _, name in pairs])
    found = resample(a, b, codes, images, draws(int(images.max()) + 1))
    overall, *classes = (
        {name: asdict(value) for name, value in each.items()}
        for each in (found.overall, *found.per_class)
    )
    return overall, classes


def _told(side: Side, only: int) -> Comparison:
    return {
        "run": str(side.run), "rule": side.rule, "fingerprint": side.report["fingerprint"],
        "questions": side.report["questions"], "seconds": side.report.get("seconds"),
        "only": only,
    }  # fmt: skip


def _differing(a: dict[str, Any], b: dict[str, Any]) -> list[dict[str, str]]:
    first, second = flat(a), flat(b)
    return [
        {"name": name, "a": first.get(name, "–"), "b": second.get(name, "–")}
        for name in sorted(first.keys() | second.keys())
        if first.get(name) != second.get(name)
    ]
