"""How many clusters a spectrum speaks for. Plain NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raypipe.config import ClusterConfig

_ZERO = 1e-6  # two eigenvalues this close are the same


@dataclass(frozen=True)
class Number:
    """A number of clusters.

    Attributes:
        clusters: At least 1.
        reason: What decided it, in a word: given, structure, gap or budget.
    """

    clusters: int
    reason: str


def choose_number(values: npt.NDArray[np.float64], config: ClusterConfig) -> Number:
    """Return the number of clusters that a spectrum speaks for.

    1. The place of the last clear gap after the second eigenvalue, if there is one (von Luxburg,
       Stat. Comput. 2007): what comes after it is the bulk that noise has, too. A gap is clear
       that is larger than the cost of the best cut, 1 - λ_2, and than a constant.
    2. One, if the second eigenvalue is low: no cut is cheap, there is no structure. Gaussians with
       the covariance of real classes' regions have 0.81 to 0.90, real classes 0.92 and more.
    3. Else as many as there are cuts about as cheap as the best one, 1 - λ_k at most twice
       1 - λ_2, within the budget of questions. Spectra of real classes decay smoothly: the
       largest gap of many is a coin's toss there, and changes with the sample.

    The rule is ours; docs/explanation/decisions/ has its cross-validation (6) and what
    became of it (10).

    Args:
        values: Eigenvalues, descending, at least one.
        config: Thresholds, budget and maximum.
    """
    costs = 1.0 - values
    gaps = np.diff(costs)[1 : config.max_clusters]
    clear = np.flatnonzero(gaps >= max([config.clear_gap, *costs[1:2]]))
    if len(clear):
        return Number(int(clear[-1]) + 2, "gap")
    if len(values) < 2 or config.max_clusters == 1 or values[1] < config.structure:
        return Number(1, "structure")
    cheap = int((costs <= 2 * max(float(costs[1]), _ZERO)).sum())
    return Number(min(cheap, config.budget, config.max_clusters), "budget")
