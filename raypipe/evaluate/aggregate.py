"""Rows of `metrics` to the numbers of a report.

A report is a plain nested dict, the content of `report.json`. Every metric stands in it with
`plain`, `refined`, the 95 % intervals of both and of the gain, and the p-value of no gain; null
where there is no truth of that kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.evaluate.measure import PLAIN
from raypipe.evaluate.paired import Codes, Difference, draws
from raypipe.evaluate.pxap import Pools
from raypipe.evaluate.resampled import Resampled, Sample, resample
from raypipe.evaluate.shown import Report
from raypipe.tables import SHARED

Measured = dict[str, Any]


def aggregate(
    metrics: pa.Table,
    rules: Sequence[str],
    titles: Mapping[str, str],
    questions: Mapping[str, int],
    pools: Pools,
    *,
    box_iou: float,
    missing: int = 0,
) -> Report:
    """Turn rows into the numbers of a report.

    A pair is an image and a class that has truth in it. Rows without truth count for nothing.

    Args:
        metrics: The `metrics` table, pairs that were never detected included as zeros.
        rules: Refined rules; the first one is what the report calls *refined*.
        titles: Names for people, of every class that may occur, in the report's order.
        questions: Answered clusters of each class, groups of all classes by `tables.SHARED`; a
            class that is not named has none.
        pools: What PxAP is made of.
        box_iou: A box counts from this IoU on.
        missing: Pairs that were never detected.
    """
    metrics = metrics.filter(pc.or_(metrics["box_iou"].is_valid(), metrics["iou"].is_valid()))
    present = set(metrics["class"].unique().to_pylist())
    names = [name for name in titles if name in present]
    sides = {rule: _side(metrics, rule) for rule in (PLAIN, *rules)}
    first = sides[rules[0]]
    codes, images = _codes(first, names)
    samples = {rule: Sample.of(rows, box_iou) for rule, rows in sides.items()}
    counts = draws(int(images.max(initial=-1)) + 1)
    found = {
        # Only the first rule's draws are shown; the data itself is the first of them.
        rule: resample(samples[PLAIN], samples[rule], codes, images, counts[: None if rule ==
                       rules[0] else 1])
        for rule in rules
    }  # fmt: skip
    refined = found[rules[0]]
    asked = {name: int(questions.get(name, 0)) for name in names}
    shared = int(questions.get(SHARED, 0))
    total = shared + sum(asked.values())
    pairs = Counter(first["class"].to_pylist())
    return {
        **_metrics(refined.overall, pools, rules[0], names),
        "max_box_acc_threshold": _before_after(*refined.thresholds),
        "questions": total,
        "shared_questions": shared,
        "questions_per_class": total / len(names) if names else 0.0,
        "classes": len(names),
        "images": len(first["image_id"].unique()),
        "pairs": first.num_rows,
        "fallbacks": pc.sum(first["fallback"]).as_py() or 0,
        "missing": missing,
        "per_class": {
            name: {
                "title": titles[name],
                "images": pairs[name],
                "questions": asked[name],
                **_metrics(refined.per_class[index], pools, rules[0], [name]),
            }
            for index, name in enumerate(names)
        },
        "rules": {rule: _values(found[rule], pools, rule, names) for rule in rules},
    }


def _side(metrics: pa.Table, rule: str) -> pa.Table:
    """Return a rule's rows, sorted so that every rule has its pairs in the same order."""
    return metrics.filter(pc.equal(metrics["rule"], rule)).sort_by(
        [("class", "ascending"), ("image_id", "ascending")]
    )


def _codes(rows: pa.Table, names: Sequence[str]) -> tuple[Codes, Codes]:
    """Return (n,) the class of each pair, and (n,) the number of its image."""
    codes = pc.index_in(rows["class"], pa.array(names, pa.string())).to_numpy()
    ids = rows["image_id"].unique().sort()
    images = pc.index_in(rows["image_id"], ids).to_numpy()
    return codes.astype(np.intp), images.astype(np.intp)


def _metrics(
    found: Mapping[str, Difference], pools: Pools, rule: str, names: Sequence[str]
) -> Measured:
    """Return every metric's entry."""
    entries = {name: _entry(value) for name, value in found.items()}
    pair = (pools.precision(PLAIN, names), pools.precision(rule, names))
    return entries | {"pxap": _before_after(*pair) | dict.fromkeys(_INTERVALS)}


_INTERVALS = ("plain_interval", "refined_interval", "gain_interval", "p")


def _entry(found: Difference) -> Measured:
    ends = (found.a_interval, found.b_interval, found.interval)
    intervals = [None if each is None else list(each) for each in ends]
    return {
        "plain": found.a,
        "refined": found.b,
        **dict(zip(_INTERVALS, [*intervals, found.p], strict=True)),
    }


def _values(found: Resampled, pools: Pools, rule: str, names: Sequence[str]) -> Measured:
    """Return a rule's means."""
    values: Measured = {name: item.b for name, item in found.overall.items()}
    return values | {
        "pxap": _number(pools.precision(rule, names)),
        "max_box_acc_threshold": _number(found.thresholds[1]),
    }


def _before_after(plain: float, refined: float) -> Measured:
    return {"plain": _number(plain), "refined": _number(refined)}


def _number(value: float) -> float | None:
    """Return a number that JSON knows: null for NaN."""
    return None if np.isnan(value) else float(value)
