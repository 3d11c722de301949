"""How likely a cluster is *object* before anybody is asked. Plain NumPy.

The share of the background bank among the neighbours of a cluster's regions tells, in units of its
class's mean: of 414 clusters of MSRC (two seeds, train's folds and val) all those below 0.9 are
*object*, of those above 1.1 about a quarter. It is a habit of photographs and no law: in the
demonstration's drawn scenes the distractors are what shares least (decision 11).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_SLOPE = 10.0
"""How fast the chance falls with the share; 8 to 12 are alike in cross-validation (decision 11)."""

_TURN = 1.3
"""Share with the background, in units of the class's mean, where the chance is one half."""


def object_chances(table: pa.Table) -> npt.NDArray[np.float64]:
    """Return how likely each cluster is *object*, from its share with the background.

    Args:
        table: n rows of `tables.CLUSTERS`; classes are whole. Of a group's row nothing follows:
            a group is what its clusters are.

    Returns:
        (n,) float64 in 0..1; one half where a class shares nothing with its background.
    """
    names = np.array(table["class"].to_pylist(), dtype=np.str_)
    sizes = table["regions"].to_numpy().astype(np.float64)
    backgrounds = np.nan_to_num(table["background"].to_numpy().astype(np.float64))
    _, own = np.unique(names, return_inverse=True)
    means = np.bincount(own, backgrounds * sizes) / np.maximum(np.bincount(own, sizes), 1)
    relative = np.where(means[own] > 0, backgrounds / np.maximum(means[own], 1e-12), _TURN)
    return np.asarray(1 / (1 + np.exp(_SLOPE * (relative - _TURN))))


def agreement(
    chances: Mapping[tuple[str, int], float], verdicts: Mapping[tuple[str, int], str]
) -> tuple[int, int]:
    """Return how many answers are as the chances say, and how many were compared.

    Args:
        chances: Of *object*, by class and cluster.
        verdicts: Answers; those that are unsure are not compared.
    """
    agreed = [
        (chances[key] > 0.5) == (verdict == "object")
        for key, verdict in verdicts.items()
        if key in chances and verdict in ("object", "distractor")
    ]
    return sum(agreed), len(agreed)
