"""What limits a class: too much marked (precision), or too little (recall).

No prediction has a higher IoU with the truth than its precision, nor than its recall, and means
keep that order. So the lower of the two is the tighter bound. Answers on clusters take background
away, which repairs precision; they can hardly repair recall.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

ENOUGH = 0.8
"""From here on neither counts as a limit (ours): both at 0.8 give an IoU of 0.67."""

Limit = Literal["precision", "recall", "neither"]
Side = Literal["plain", "refined"]


def limit(values: Mapping[str, Any], side: Side) -> Limit | None:
    """Say what limits a class before (`plain`) or after (`refined`).

    Args:
        values: A class of the report, with `precision` and `recall`.
        side: Which of the two.

    Returns:
        The lower of precision and recall if it is below `ENOUGH`, precision where they are equal;
        `neither` otherwise, None without true masks.
    """
    precision, recall = values["precision"][side], values["recall"][side]
    if precision is None or recall is None:
        return None
    if min(precision, recall) >= ENOUGH:
        return "neither"
    return "precision" if precision <= recall else "recall"


def counts(classes: Iterable[Mapping[str, Any]], side: Side) -> dict[Limit, int]:
    """Return how many classes are limited by what."""
    found = Counter(limit(item, side) for item in classes)
    order: tuple[Limit, ...] = ("precision", "recall", "neither")
    return {name: found[name] for name in order}
