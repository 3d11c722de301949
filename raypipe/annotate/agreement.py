"""How far annotators agree, on the questions that they share.

Cohen (1960), "A coefficient of agreement for nominal scales", for two annotators; Krippendorff
(2004), "Content analysis", for all of them, whoever answered what.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from itertools import combinations

import krippendorff
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.metrics import cohen_kappa_score

from raypipe.annotate import labels, votes
from raypipe.annotate.votes import VERDICTS
from raypipe.storage.run import Run

Grid = npt.NDArray[np.int8]
"""(annotators, questions) index of the verdict in `VERDICTS`; -1 where there is no answer."""


@dataclass(frozen=True)
class Pair:
    """Two annotators.

    Attributes:
        one: A name.
        other: The other name.
        questions: Questions that both answered.
        agreed: Those that they answered alike.
        kappa: Cohen's kappa; None where it says nothing: no question in common, or both gave one
            and the same answer all along.
    """

    one: str
    other: str
    questions: int
    agreed: int
    kappa: float | None


@dataclass(frozen=True)
class Dispute:
    """A question that annotators answered differently.

    Attributes:
        name: Its class.
        cluster: Its number.
        answers: Annotators by verdict.
    """

    name: str
    cluster: int
    answers: dict[str, list[str]]


@dataclass(frozen=True)
class Agreement:
    """How far the annotators of a run agree.

    Attributes:
        annotators: Answers of each.
        questions: Questions with an answer.
        shared: Those with answers of several annotators.
        alpha: Krippendorff's alpha, nominal; None where it says nothing.
        pairs: Each pair of annotators.
        disputes: Questions with different answers, those with the closest vote first.
    """

    annotators: dict[str, int]
    questions: int
    shared: int
    alpha: float | None
    pairs: tuple[Pair, ...]
    disputes: tuple[Dispute, ...]


def agreement(run: Run) -> Agreement:
    """Compare the answers that count.

    Raises:
        InputError: If the run is not clustered yet, or a file of the log is damaged.
    """
    return compare(labels.answers(run))


def compare(answers: pa.Table) -> Agreement:
    """Compare annotators.

    Args:
        answers: Rows of `tables.LABELS` without withdrawn ones, one a question and annotator.
    """
    keys, counts = votes.counts(answers)
    names, grid = _grid(answers, len(keys))
    several = counts.sum(axis=1) > 1
    return Agreement(
        {name: int((own >= 0).sum()) for name, own in zip(names, grid, strict=True)},
        len(keys),
        int(several.sum()),
        _alpha(counts),
        tuple(_pair(names, grid, *two) for two in combinations(range(len(names)), 2)),
        tuple(Dispute(*keys[place], _sides(names, grid[:, place])) for place in _disputed(counts)),
    )


def _grid(answers: pa.Table, questions: int) -> tuple[list[str], Grid]:
    """Return the annotators' names, sorted, and their verdicts on each question."""
    names = sorted(pc.unique(answers["annotator"]).to_pylist())
    grid = np.full((len(names), questions), -1, dtype=np.int8)
    row = pc.index_in(answers["annotator"], pa.array(names, pa.string())).to_numpy()
    verdict = pc.index_in(answers["verdict"], pa.array(VERDICTS)).to_numpy()
    grid[row, votes.codes(answers, ("class", "cluster"))] = verdict
    return names, grid


def _pair(names: list[str], grid: Grid, one: int, other: int) -> Pair:
    both = (grid[one] >= 0) & (grid[other] >= 0)
    left, right = grid[one][both], grid[other][both]
    kappa = None
    if len({*left.tolist(), *right.tolist()}) > 1:  # of one verdict alone it is 0 / 0
        kappa = _known(cohen_kappa_score(left, right))
    agreed = int((left == right).sum())
    return Pair(names[one], names[other], int(both.sum()), agreed, kappa)


def _alpha(counts: votes.Ints) -> float | None:
    """Return Krippendorff's alpha of (q, 3) votes."""
    shared = counts[counts.sum(axis=1) > 1]
    if (shared.sum(axis=0) > 0).sum() < 2:  # one verdict, or nothing in common
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return _known(krippendorff.alpha(value_counts=shared, level_of_measurement="nominal"))


def _disputed(counts: votes.Ints) -> list[int]:
    """Return the places of questions with different answers, the closest vote first."""
    ranked = np.sort(counts, axis=1)
    lead = (ranked[:, -1] - ranked[:, -2]) / np.maximum(counts.sum(axis=1), 1)
    disputed = np.flatnonzero(ranked[:, -2] > 0)
    return [int(place) for place in disputed[np.argsort(lead[disputed], kind="stable")]]


def _sides(names: list[str], given: npt.NDArray[np.int8]) -> dict[str, list[str]]:
    return {
        verdict: [names[place] for place in np.flatnonzero(given == number)]
        for number, verdict in enumerate(VERDICTS)
        if (given == number).any()
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
