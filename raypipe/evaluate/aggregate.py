"""What was measured, added up to the numbers of a report.

A report is a plain nested dict, the content of `report.json`. Every metric stands in it with
`plain`, `refined`, the 95 % intervals of both and of the gain, and the p-value of no gain; null
where there is no truth of that kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raypipe.evaluate.paired import Difference
from raypipe.evaluate.resampled import (
    METRICS_OF_ROWS,
    Chosen,
    ClassMeans,
    best,
    differences,
    threshold,
)
from raypipe.evaluate.shown import Report
from raypipe.evaluate.totals import (
    ClassResults,
    Measurements,
    Question,
    Spread,
    Totals,
    class_ious,
    classes,
    miou,
    precision,
    sides_difference,
    total,
)
from raypipe.maps import Doubles
from raypipe.tables import SHARED

Measured = dict[str, Any]

_SHARDS, _CLASSES = 64, 16  # a task's; fixed, so that nothing depends on who is there to work
_INTERVALS = ("plain_interval", "refined_interval", "gain_interval", "p")


@dataclass(frozen=True)
class Answers:
    """What people were asked.

    Attributes:
        questions: Answered clusters of each class, groups of all classes by `tables.SHARED`; a
            class that is not named has none.
        seconds: Time of these answers, likewise; a class that is not named has no recorded time.
    """

    questions: Mapping[str, int]
    seconds: Mapping[str, float]


def aggregate(
    shards: Sequence[str],
    measured: Measurements,
    asked: Question,
    titles: Mapping[str, str],
    answers: Answers,
    spread: Spread,
) -> tuple[Report, Totals]:
    """Turn what was measured into the numbers of a report.

    A pair is an image and a class that has truth in it. Rows without truth count for nothing.

    Args:
        shards: Names of the shards.
        measured: Their tables.
        asked: Rules and settings.
        titles: Names for people, of every class that may occur, in the report's order.
        answers: What people were asked.
        spread: Does the work.

    Returns:
        The report, and the totals that it was made of.
    """
    # 1. All pairs together, in any order.
    totals = Totals()
    for _, part in spread(total, _batches(shards, _SHARDS), measured, asked):
        totals.merge(part, asked.shown)
    accuracies: dict[str, Doubles] = {}
    thresholds: dict[str, Chosen] = {}
    for rule in asked.rules:
        found = totals.hits.get(rule)
        nothing = (np.full((1, 2), np.nan), None)
        accuracies[rule], thresholds[rule] = nothing if found is None else best(found)
    # 2. Each class by itself; added up in the order of the classes.
    names = [name for name in titles if totals.pairs[name]]
    batches = _batches(names, _CLASSES)
    results: dict[tuple[str, ...], ClassResults] = dict(
        spread(classes, batches, measured, asked, totals.shards, thresholds)
    )
    means = {rule: ClassMeans() for rule in asked.rules}
    per_class: dict[str, dict[str, Difference]] = {}
    for batch in batches:
        per_class |= results[batch].classes
        for rule, own in results[batch].means.items():
            means[rule].merge(own)
    # 3. The report.
    overall = {rule: means[rule].means(accuracies[rule]) for rule in asked.rules}
    return _report(totals, asked, titles, answers, per_class, overall, thresholds), totals


def _report(
    totals: Totals,
    asked: Question,
    titles: Mapping[str, str],
    answers: Answers,
    per_class: Mapping[str, Mapping[str, Difference]],
    overall: Mapping[str, Doubles],
    thresholds: Mapping[str, Chosen],
) -> Report:
    names, (first, second) = list(per_class), asked.sides
    images = totals.counts["images"]
    ious = {rule: class_ious(totals, rule, names) for rule in asked.rules}
    total_difference = dict(differences(overall[first], overall[second], images))
    means = {rule: miou(ious[rule]) for rule in asked.rules}
    areas = {rule: precision(totals.pixels.get(rule)) for rule in asked.rules}
    for name, values in (("miou", means), ("pxap", areas)):
        total_difference[name] = sides_difference(values[first], values[second], images=images)
    questions = {name: int(answers.questions.get(name, 0)) for name in names}
    shared = int(answers.questions.get(SHARED, 0))
    count = shared + sum(questions.values())
    return {
        "baseline": first,
        "refined": second,
        **_entries(total_difference),
        "max_box_acc_threshold": {
            "plain": threshold(thresholds[first]),
            "refined": threshold(thresholds[second]),
        },
        "questions": count,
        "shared_questions": shared,
        "questions_per_class": count / len(names) if names else 0.0,
        "seconds": _seconds(answers, [SHARED, *names]),
        "classes": len(names),
        "images": images,
        "pairs": totals.counts["pairs"],
        "fallbacks": totals.counts["fallbacks"],
        "missing": totals.missing[first],
        "policy": _policy(totals, asked),
        "per_class": {
            name: {
                "title": titles[name],
                "images": totals.pairs[name],
                "questions": questions[name],
                "seconds": _seconds(answers, [name]),
                **_entries(_with_iou(per_class[name], ious, name, totals, asked)),
            }
            for name in names
        },
        "rules": {
            rule: {
                **{name: _number(value) for name, value in
                   zip(METRICS_OF_ROWS, overall[rule][0], strict=True)},
                "miou": _first(means[rule]),
                "pxap": _first(areas[rule]),
                "max_box_acc_threshold": threshold(thresholds[rule]),
            }
            for rule in asked.rules
        },
    }  # fmt: skip


def _with_iou(
    found: Mapping[str, Difference],
    ious: Mapping[str, Mapping[str, Doubles]],
    name: str,
    totals: Totals,
    asked: Question,
) -> dict[str, Difference]:
    """Return a class's metrics with the IoU of its pixels pooled over the set."""
    a, b = (ious[rule].get(name) for rule in asked.sides)
    return {**found, "miou": sides_difference(a, b, images=totals.pairs[name])}


def _policy(totals: Totals, asked: Question) -> dict[str, int]:
    """Return how many pairs did not match, and how."""
    others = {
        f"missing_in_{rule}": totals.missing[rule] - totals.missing[asked.rules[0]]
        for rule in asked.rules[1:]
    }
    noted = {name: count for name, count in sorted(totals.notes.items()) if name != "missing"}
    return noted | {name: count for name, count in others.items() if count}


def _seconds(answers: Answers, names: Iterable[str]) -> float | None:
    """Return the time of the answers on classes, or None where some took nobody knows how long."""
    asked = [name for name in names if answers.questions.get(name, 0)]
    if not asked or any(name not in answers.seconds for name in asked):
        return None
    return float(sum(answers.seconds[name] for name in asked))


def _entries(found: Mapping[str, Difference]) -> Measured:
    """Return every metric's entry."""
    return {name: _entry(value) for name, value in found.items()}


def _entry(found: Difference) -> Measured:
    ends = (found.a_interval, found.b_interval, found.interval)
    intervals = [None if each is None else list(each) for each in ends]
    return {
        "plain": found.a,
        "refined": found.b,
        **dict(zip(_INTERVALS, [*intervals, found.p], strict=True)),
    }


def _batches(items: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]


def _first(values: Doubles | None) -> float | None:
    """Return what the data itself gives, or None."""
    return None if values is None else _number(float(values[0]))


def _number(value: float) -> float | None:
    """Return a number that JSON knows: null for NaN."""
    return None if np.isnan(value) else float(value)
