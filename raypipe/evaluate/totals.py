"""What the pairs of any number of images add up to: small, and mergeable in any order.

A set is added up twice. First all pairs together, a batch of shards a task: hits of MaxBoxAcc,
pixels, counts. They say which thresholds serve the set best. Then class after class at these
thresholds, a batch of classes a task. Neither holds more than one shard's rows, whatever the
number of images.

Letters of shapes: R draws.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.evaluate.masks import BACKGROUND
from raypipe.evaluate.paired import Counts, Difference, difference, draws
from raypipe.evaluate.picks import Pick, gains, losses, picks
from raypipe.evaluate.pxap import pixel_counts, precisions
from raypipe.evaluate.resampled import Chosen, ClassMeans, Sample, differences
from raypipe.evaluate.sums import FINE, Sums, add
from raypipe.maps import Doubles


class Measurements(Protocol):
    """The tables that a set was measured into, a shard at a time; can be sent to a task."""

    def metrics(self, shard: str) -> pa.Table:
        """Return a shard's rows of `metrics`."""

    def pixels(self, shard: str) -> pa.Table:
        """Return a shard's rows of `pixels`."""

    def overlaps(self, shard: str) -> pa.Table:
        """Return a shard's rows of `overlaps`."""


Spread = Callable[..., Iterator[tuple[Any, Any]]]
"""Calls `function(item, *shared)` for each item, anywhere and in any order; yields item, result."""


@dataclass(frozen=True)
class Question:
    """What is asked of the measurements; small.

    Attributes:
        rules: The rule that others are compared with, the rule that the report calls refined (it
            may be the same), and further ones, of which only the means are told.
        box_iou: A box counts for CorLoc from this IoU on.
        shown: Pairs that changed most to remember, of either kind.
    """

    rules: tuple[str, ...]
    box_iou: float
    shown: int = 0

    @property
    def sides(self) -> tuple[str, str]:
        """The two rules whose difference is tested."""
        return self.rules[0], self.rules[min(1, len(self.rules) - 1)]

    def weights(self, rule: str, counts: Counts) -> Counts:
        """Return the draws that a rule is looked at under: of further rules the data itself."""
        return counts if rule in self.sides else counts[:1]


@dataclass
class Totals:
    """What some shards add up to.

    Attributes:
        hits: MaxBoxAcc's, by rule.
        overlaps: (R, 3) shared, predicted and true pixels, by rule and class.
        pixels: (R, 2 bins) scores inside and outside true masks, by rule.
        counts: Pairs, images and fallbacks.
        notes: What did not match, in pairs.
        missing: Pairs with truth that a rule says nothing of, by rule.
        pairs: Pairs with truth, by class.
        shards: Those with pairs of a class.
        changes: Pairs that changed most.
    """

    hits: dict[str, Sums] = field(default_factory=dict)
    overlaps: dict[tuple[str, str], Sums] = field(default_factory=dict)
    pixels: dict[str, Sums] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    shards: dict[str, list[str]] = field(default_factory=dict)
    changes: list[Pick] = field(default_factory=list)

    def merge(self, other: Totals, shown: int) -> None:
        """Add what other shards add up to."""
        for rule, sums in other.hits.items():
            add(self.hits, rule, sums)
        for key, sums in other.overlaps.items():
            add(self.overlaps, key, sums)
        for rule, sums in other.pixels.items():
            add(self.pixels, rule, sums)
        for mine, theirs in ((self.counts, other.counts), (self.notes, other.notes),
                             (self.missing, other.missing), (self.pairs, other.pairs)):  # fmt: skip
            mine.update(theirs)
        for name, shards in other.shards.items():
            self.shards.setdefault(name, []).extend(shards)
        both = [*self.changes, *other.changes]
        self.changes = losses(both, shown) + gains(both, shown)


def total(shards: Sequence[str], measured: Measurements, asked: Question) -> Totals:
    """Add up shards: all their pairs together."""
    found = Totals()
    for shard in shards:
        found.merge(_total_of_shard(shard, measured, asked), asked.shown)
    return found


def _total_of_shard(shard: str, measured: Measurements, asked: Question) -> Totals:
    found, first = Totals(), asked.rules[0]
    metrics = measured.metrics(shard)
    judged = judged_rows(metrics)
    weights = _Weights(judged["image_id"])
    for rule in asked.rules:
        rows = _by_rule(judged, rule)
        sample = Sample.of(rows, asked.box_iou)
        found.hits[rule] = sample.hits(asked.weights(rule, weights.of(rows["image_id"])))
        found.missing[rule] = _notes(rows).count("missing")
        if rule == first:
            found.notes.update(_notes(_by_rule(metrics, rule)))
            found.pairs.update(rows["class"].to_pylist())
            found.counts.update(pairs=rows.num_rows, images=len(rows["image_id"].unique()))
        if rule == asked.sides[1]:
            found.counts["fallbacks"] = pc.sum(rows["fallback"]).as_py() or 0
    found.shards = {name: [shard] for name in found.pairs}
    for (rule, _), sums in _pixel_sums(measured.pixels(shard), asked).items():
        add(found.pixels, rule, sums)
    _add_overlaps(found.overlaps, measured.overlaps(shard), asked)
    if asked.shown:
        found.changes = picks(metrics, shard, *asked.sides)
    return found


def _pixel_sums(
    rows: pa.Table, asked: Question, names: Sequence[str] | None = None
) -> dict[tuple[str, str], Sums]:
    """Return the pixels of some classes by rule and class, or of all of them by rule alone."""
    weights, found = _Weights(rows["image_id"]), dict[tuple[str, str], Sums]()
    for rule in asked.rules:
        of_rule = _by_rule(rows, rule)
        for name in ("",) if names is None else names:
            some = of_rule if names is None else of_rule.filter(pc.equal(of_rule["class"], name))
            if some.num_rows:
                counts = asked.weights(rule, weights.of(some["image_id"]))
                found[rule, name] = Sums.of_whole(pixel_counts(some), counts)
    return found


def _add_overlaps(into: dict[tuple[str, str], Sums], rows: pa.Table, asked: Question) -> None:
    weights = _Weights(rows["image_id"])
    for rule in asked.rules:
        own = _by_rule(rows, rule)
        for name in own["class"].unique().to_pylist():
            some = own.filter(pc.equal(own["class"], name))
            pixels = [some[column].to_numpy() for column in ("shared", "predicted", "true")]
            counts = asked.weights(rule, weights.of(some["image_id"]))
            add(into, (rule, name), Sums.of_whole(np.column_stack(pixels), counts))


@dataclass
class ClassResults:
    """Classes at the set's thresholds.

    Attributes:
        classes: Every metric of a class with what the draws say of it.
        means: Means over these classes, by rule.
    """

    classes: dict[str, dict[str, Difference]] = field(default_factory=dict)
    means: dict[str, ClassMeans] = field(default_factory=dict)


def classes(
    names: Sequence[str],
    measured: Measurements,
    asked: Question,
    shards: Mapping[str, Sequence[str]],
    thresholds: Mapping[str, Chosen],
) -> ClassResults:
    """Add up classes: each by itself.

    Args:
        names: The classes.
        measured: Their tables.
        asked: Rules and settings.
        shards: Shards with pairs of a class.
        thresholds: What `resampled.best` chose, by rule.
    """
    sums: dict[tuple[str, str], Sums] = {}
    pixels: dict[tuple[str, str], Sums] = {}
    wanted = pa.array(names, pa.string())
    for shard in sorted({shard for name in names for shard in shards[name]}):
        metrics = judged_rows(measured.metrics(shard))
        metrics = metrics.filter(pc.is_in(metrics["class"], wanted))
        weights = _Weights(metrics["image_id"])
        for rule in asked.rules:
            of_rule = _by_rule(metrics, rule)
            for name in of_rule["class"].unique().to_pylist():
                rows = of_rule.filter(pc.equal(of_rule["class"], name))
                values = Sample.of(rows, asked.box_iou).values(thresholds[rule])
                counts = asked.weights(rule, weights.of(rows["image_id"]))
                add(sums, (name, rule), Sums.of(values, counts, FINE))
        for key, summed in _pixel_sums(measured.pixels(shard), asked, names).items():
            add(pixels, key, summed)
    found = ClassResults(means={rule: ClassMeans() for rule in asked.rules})
    for name in names:
        means = {rule: sums[name, rule].means() for rule in asked.rules if (name, rule) in sums}
        for rule, values in means.items():
            found.means[rule].add(values)
        a, b = (means[rule] for rule in asked.sides)
        pairs = int(sums[name, asked.rules[0]].weights[0].max())
        found.classes[name] = dict(differences(a, b, pairs))
        sides = (pixels.get((rule, name)) for rule in asked.sides)
        found.classes[name]["pxap"] = sides_difference(*map(precision, sides), images=pairs)
    return found


def precision(summed: Sums | None) -> Doubles | None:
    """Return PxAP of every draw, (R,), or None without masks."""
    return None if summed is None else precisions(summed.values)


def judged_rows(metrics: pa.Table) -> pa.Table:
    """Return the rows with truth of any kind."""
    return metrics.filter(pc.or_(metrics["box_iou"].is_valid(), metrics["iou"].is_valid()))


def class_ious(totals: Totals, rule: str, names: Sequence[str]) -> dict[str, Doubles]:
    """Return IoU of the pixels of a set under every draw, of the background and each class.

    Returns:
        (R,) float64 by class; NaN where a draw has no pixel of it, true or predicted.
    """
    found = {}
    for name in (BACKGROUND, *names):
        sums = totals.overlaps.get((rule, name))
        if sums is not None:
            shared, predicted, true = sums.values.T
            union = predicted + true - shared
            found[name] = np.divide(
                shared, union, out=np.full_like(shared, np.nan), where=union > 0
            )
    return found


def miou(ious: Mapping[str, Doubles]) -> Doubles | None:
    """Return (R,) mean IoU over background and classes, or None without masks."""
    if not ious:
        return None
    table = np.stack(list(ious.values()))
    known = ~np.isnan(table)
    means: Doubles = np.where(known, table, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return means


def sides_difference(a: Doubles | None, b: Doubles | None, *, images: int) -> Difference:
    """Compare two sides of a metric of pooled pixels; of None nothing is known."""
    nothing = np.full(1, np.nan)
    return difference(nothing if a is None else a, nothing if b is None else b, images)


def _by_rule(rows: pa.Table, rule: str) -> pa.Table:
    return rows.filter(pc.equal(rows["rule"], rule))


def _notes(rows: pa.Table) -> list[str]:
    found: list[str] = pc.list_flatten(rows["notes"]).to_pylist()
    return found


class _Weights:
    """The draws of some images, made once.

    Args:
        image_ids: Their names, repeated or not.
    """

    def __init__(self, image_ids: pa.ChunkedArray) -> None:
        self._ids = image_ids.unique()
        self._counts = draws(self._ids.to_pylist())

    def of(self, image_ids: pa.ChunkedArray) -> Counts:
        """Return (R, n) the draws of rows."""
        places = pc.index_in(image_ids, self._ids).to_numpy()
        found: Counts = np.take(self._counts, places, axis=1)
        return found
