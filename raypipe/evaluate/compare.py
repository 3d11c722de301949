"""Two runs side by side: their metrics on the pairs that both have, and their settings."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.errors import InputError
from raypipe.evaluate.paired import draws
from raypipe.evaluate.report import environment
from raypipe.evaluate.resampled import ClassMeans, Sample, best, differences
from raypipe.evaluate.shown import flat
from raypipe.evaluate.sums import FINE, Sums, add
from raypipe.evaluate.totals import judged_rows
from raypipe.maps import Doubles
from raypipe.storage.parts import Parts
from raypipe.storage.run import Run
from raypipe.tables import METRICS

Comparison = dict[str, Any]

_CHUNK = 4096  # pairs whose draws are held at a time: 4 MB


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
    parts = Parts.of(run, run.require(f"evaluate/{name}"), METRICS.name)
    report = json.loads((run.step(f"evaluate/{name}") / "report.json").read_text())
    known = sorted(report["rules"])
    chosen = rule or report["refined"]
    if chosen not in known:
        raise InputError(f"{run}: no rule {chosen} in set {name}", f"it has {', '.join(known)}")
    mine = [
        judged_rows(rows.filter(pc.equal(rows["rule"], chosen))) for rows in parts.read(METRICS)
    ]
    return Side(run, chosen, report, pa.concat_tables([METRICS.schema.empty_table(), *mine]))


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
    """Return the metrics over all classes, and those of each class.

    Args:
        a: The first side.
        b: The second side, of the same pairs; truth that only one side has judges neither.
        pairs: Images and classes, class after class.
        names: The classes in the order of the pairs.
    """
    known = ~(np.isnan(a.linear) | np.isnan(b.linear))
    sides = [Sample(np.where(known, side.linear, np.nan), side.curves) for side in (a, b)]
    images = [image for image, _ in pairs]
    codes = np.array([names.index(name) for _, name in pairs])
    found: list[dict[int, Sums]] = [{}, {}]
    for rows in _slices(0, len(pairs)):
        weights = draws(images[rows])
        for side, hits in zip(sides, found, strict=True):
            add(hits, 0, side.of_rows(rows).hits(weights))
    tops = [best(hits[0]) for hits in found]
    means = [ClassMeans(), ClassMeans()]
    classes = []
    for code in range(len(names)):
        own: list[dict[int, Sums]] = [{}, {}]
        first, last = np.searchsorted(codes, [code, code + 1])
        for rows in _slices(int(first), int(last)):
            weights = draws(images[rows])
            for side, sums, (_, chosen) in zip(sides, own, tops, strict=True):
                add(sums, 0, Sums.of(side.of_rows(rows).values(chosen), weights, FINE))
        each = [sums[0].means() for sums in own]
        for mine, values in zip(means, each, strict=True):
            mine.add(values)
        classes.append(_named(each, int(last - first)))
    overall = [mine.means(accuracies) for mine, (accuracies, _) in zip(means, tops, strict=True)]
    return _named(overall, len(set(images))), classes


def _slices(start: int, stop: int) -> Iterator[slice]:
    """Cut rows so that the draws of one piece are no large matrix."""
    for first in range(start, stop, _CHUNK):
        yield slice(first, min(first + _CHUNK, stop))


def _named(means: Sequence[Doubles], sample: int) -> Comparison:
    """Return both sides' metrics by name."""
    first, second = means
    return {name: asdict(value) for name, value in differences(first, second, sample)}


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
