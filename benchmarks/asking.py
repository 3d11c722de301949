"""Answers one after the other on the MSRC protocol, and what the maps are worth after each.

Questions, their order, their merging and what unanswered clusters vote are the product's own; a
class's scores are kept by the votes of its clusters, so that a curve takes seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa

from benchmarks.nearest import Matching, nearest, nearest_of
from benchmarks.protocol import Scores, refined_maps, scored
from benchmarks.splits import Doubles, Regions, Split
from benchmarks.variants import Groups, Numbers
from raypipe.annotate import simulate
from raypipe.annotate.csvfile import Clusters, Key
from raypipe.annotate.gain import expected_gains, order, override_gains
from raypipe.annotate.votes import majorities, resolved
from raypipe.chances import object_chances
from raypipe.cluster.affinity import centred
from raypipe.cluster.background import background_shares, cluster_means
from raypipe.config import EvaluateConfig, SimulateConfig
from raypipe.evaluate.boxes import hits
from raypipe.tables import CLUSTERS, SHARED

Unanswered = Literal["skip", "guess"]
Votes = dict[int, float]
"""Of a class's clusters; one that is left out is not compared with."""


class Maps:
    """What a class's maps are worth, by the votes of its clusters.

    Args:
        split: What `val_split` or `folds` returned.
        clusters: (n,) cluster of each region, by class.
        matching: How references are found.
    """

    def __init__(self, split: Split, clusters: Mapping[str, Numbers], matching: Matching) -> None:
        self.split, self.clusters = split, clusters
        self._matching = matching
        self._close = nearest(split, matching)
        self._known: dict[tuple[str, tuple[tuple[int, float], ...]], Scores] = {}

    def scores(self, votes: Mapping[str, Votes]) -> tuple[float, float]:
        """Return CorLoc and IoU, means over classes."""
        threshold = EvaluateConfig().box_iou
        found = [self.of_class(name, votes.get(name, {})) for name in self.split.regions]
        corlocs = [float(np.nanmean(hits(own.box_ious, threshold))) for own in found]
        return float(np.mean(corlocs)), float(np.mean([own.ious.mean() for own in found]))

    def of_class(self, name: str, votes: Votes) -> Scores:
        """Return the scores of a class's pairs; of the plain maps where nothing may be *object*."""
        if not any(votes.values()):
            votes = {}
        key = (name, tuple(sorted((number, round(vote, 3)) for number, vote in votes.items())))
        if key not in self._known:
            self._known[key] = self._evaluated(name, dict(key[1]))
        return self._known[key]

    def _evaluated(self, name: str, votes: Votes) -> Scores:
        pairs, own = self.split.pairs_of(name), self.clusters[name]
        if not votes:
            return scored(pairs, [pair.plain for pair in pairs], EvaluateConfig().mask_threshold)
        voting = np.isin(own, list(votes))
        close = self._close[name]
        if not voting.all():
            close = nearest_of(self.split, name, self._matching, voting)
        every = np.zeros(len(own) + len(self.split.regions[name].bank), np.float32)
        for number, vote in votes.items():
            every[: len(own)][own == number] = vote
        maps = refined_maps(pairs, close, every)
        return scored(pairs, maps, EvaluateConfig().mask_threshold)


@dataclass(frozen=True)
class Questionnaire:
    """The questions about a clustering and the right answers.

    Attributes:
        table: Rows of `tables.CLUSTERS`.
        right: The right answer on each cluster and each group.
    """

    table: pa.Table
    right: Mapping[Key, str]
    clusters: Clusters = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "clusters", Clusters.of(self.table))

    @classmethod
    def of(
        cls, split: Split, clusters: Mapping[str, Numbers], groups: Groups, min_share: float = 0.3
    ) -> Questionnaire:
        """Make it from clusters and, where look-alikes are asked about together, their groups."""
        rows: list[dict[str, object]] = []
        on_class: dict[Key, Doubles] = {}
        for name, own in clusters.items():
            rows += _rows(name, own, split.regions[name], groups)
            hit = split.regions[name].on_class
            on_class |= {(name, row): hit[own == row] for row in np.unique(own).tolist()}
        for number in sorted(set(groups.values())):
            members = [key for key, group in groups.items() if group == number]
            on_class[SHARED, number] = np.concatenate([on_class[key] for key in members])
            rows.append(_group_row(number, [row for row in rows if row["group"] == number]))
        return cls(CLUSTERS.build(rows), _right(on_class, min_share))

    def answers(self, config: SimulateConfig) -> dict[Key, str]:
        """Return what simulated annotators say on every cluster and group, by majority."""
        said = []
        for name, numbers in self.clusters.numbers.items():
            right = [self.right[name, number] for number in numbers]
            for at in range(config.annotators):
                verdicts = simulate.given(right, name, config, at)
                said += [
                    {"class": name, "cluster": number, "verdict": verdict}
                    for number, verdict in zip(numbers, verdicts, strict=True)
                ]
        return majorities(pa.Table.from_pylist(said))

    def asked(self, said: Mapping[Key, str], random: np.random.Generator | None) -> list[Key]:
        """Return what is asked, in order: all questions, then overrides of the groups' answers.

        Args:
            said: What the annotator would answer.
            random: Shuffles both; None = by expected gain.
        """
        first = order(expected_gains(self.table))
        then = order(override_gains(self.table, {key: said[key] for key in first}))
        if random is not None:
            first, then = (
                [own[at] for at in random.permutation(len(own))] for own in (first, then)
            )
        return first + then

    def votes(self, given: Mapping[Key, str], unanswered: Unanswered) -> dict[str, Votes]:
        """Return the votes of each class's clusters after some answers."""
        chances = object_chances(self.table).tolist()
        verdicts = resolved(self.clusters, given)
        votes: dict[str, Votes] = {}
        for (name, number), chance in zip(self.clusters.memberships, chances, strict=True):
            verdict = verdicts.get((name, number))
            if verdict in ("object", "distractor"):
                votes.setdefault(name, {})[number] = float(verdict == "object")
            elif verdict is None and unanswered == "guess":
                votes.setdefault(name, {})[number] = chance
        return votes


@dataclass(frozen=True)
class Curve:
    """Scores by the number of answers.

    Attributes:
        answers: (n,) answers a class, from 0.
        corloc: (n,) mean over classes.
        iou: (n,) likewise.
    """

    answers: Doubles
    corloc: Doubles
    iou: Doubles

    def needed(self, name: str, target: float) -> tuple[float, float]:
        """Return the answers a class after which a score is reached: first, and for good.

        Infinite where it never is.

        Args:
            name: `corloc` or `iou`.
            target: The score.
        """
        enough = getattr(self, name) >= target - 1e-9
        if not enough.any():
            return math.inf, math.inf
        misses = np.flatnonzero(~enough)
        lasting = misses[-1] + 1 if len(misses) else 0
        stays = float(self.answers[lasting]) if lasting < len(enough) else math.inf
        return float(self.answers[np.argmax(enough)]), stays


def curve(
    maps: Maps,
    asked: Questionnaire,
    said: Mapping[Key, str],
    *,
    unanswered: Unanswered = "guess",
    random: np.random.Generator | None = None,
    most: int | None = None,
) -> Curve:
    """Ask one question after the other.

    Args:
        maps: Of the same split and clusters.
        asked: The questions.
        said: What is answered.
        unanswered: Whether clusters without an answer have no vote or a guessed one.
        random: Ask in random order.
        most: Questions, at most.
    """
    given: dict[Key, str] = {}
    points = [maps.scores(asked.votes(given, unanswered))]
    for key in asked.asked(said, random)[:most]:
        given[key] = said[key]
        points.append(maps.scores(asked.votes(given, unanswered)))
    corloc, iou = np.array(points).T
    return Curve(np.arange(len(points)) / len(maps.split.regions), corloc, iou)


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """Return the mean of curves; one that ends earlier stays where it was."""
    longest = max(curves, key=lambda one: len(one.answers))

    def mean(rows: list[Doubles]) -> Doubles:
        most = len(longest.answers)
        padded = [np.pad(row, (0, most - len(row)), mode="edge") for row in rows]
        return np.asarray(np.mean(padded, axis=0))

    return Curve(
        longest.answers, mean([one.corloc for one in curves]), mean([one.iou for one in curves])
    )


def _rows(name: str, own: Numbers, regions: Regions, groups: Groups) -> list[dict[str, object]]:
    """Return what the gains look at of the CLUSTERS rows of a class."""
    centre = regions.features.mean(axis=0)
    shares = background_shares(centred(regions.features, centre), centred(regions.bank, centre))
    backgrounds = cluster_means(shares, own)
    return [
        _row(name, number, int((own == number).sum()), float((own == number).mean()))
        | {"background": backgrounds[number], "group": groups.get((name, number))}
        for number in np.unique(own).tolist()
    ]


def _group_row(number: int, members: list[dict[str, object]]) -> dict[str, object]:
    regions = sum(int(str(row["regions"])) for row in members)
    return _row(SHARED, number, regions, 0.0)


def _row(name: str, number: int, regions: int, share: float) -> dict[str, object]:
    return {
        "class": name, "cluster": number, "regions": regions, "share": share, "images": 0,
        "image_share": 0.0, "membership": f"{name}/{number}", "group": None, "background": 0.0,
        "centroid": [], "exemplars": [],
    }  # fmt: skip


def _right(on_class: Mapping[Key, Doubles], min_share: float) -> dict[Key, str]:
    right: dict[Key, str] = {}
    for name in dict.fromkeys(name for name, _ in on_class):
        keys = [key for key in on_class if key[0] == name]
        shares = np.array([np.nanmean(on_class[key]) for key in keys])
        right |= dict(zip(keys, simulate.judged(shares, min_share), strict=True))
    return right
