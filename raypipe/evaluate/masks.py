"""Pixel metrics of predicted masks against true ones, void pixels ignored. Plain NumPy."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from raypipe.datasets.truth import ClassMask, Labels

Row = dict[str, Any]

BACKGROUND = ""
"""In place of a class: what is none."""


@dataclass(frozen=True)
class PixelScores:
    """How well a predicted mask fits the true one.

    Attributes:
        iou: Shared pixels over the pixels of either, 0..1.
        precision: Shared pixels over predicted ones, 0..1; 0 where nothing is predicted, so that
            keeping silent does not raise a mean.
        recall: Shared pixels over true ones, 0..1.
    """

    iou: float
    precision: float
    recall: float


NOTHING_FOUND = PixelScores(0.0, 0.0, 0.0)
"""The scores of a detection that is not there."""


def has_pixels(truth: ClassMask | None) -> bool:
    """Whether there is a mask that holds pixels of the class outside void."""
    return truth is not None and bool((truth.inside & truth.valid).any())


def pixel_scores(mask: npt.NDArray[np.bool_], truth: ClassMask) -> PixelScores:
    """Compare a predicted mask with the truth.

    Args:
        mask: (H, W) bool.
        truth: The class's mask, (H, W), with at least one pixel outside void.
    """
    predicted = mask & truth.valid
    inside = truth.inside & truth.valid
    shared = int(np.count_nonzero(predicted & inside))
    if shared == 0:
        return NOTHING_FOUND
    found, true = int(np.count_nonzero(predicted)), int(np.count_nonzero(inside))
    return PixelScores(shared / (found + true - shared), shared / found, shared / true)


def overlaps(
    predicted: Labels, truth: Labels, names: Sequence[str], present: Collection[str]
) -> list[Row]:
    """Count the pixels that mean IoU is made of (PASCAL VOC's convention: background is a class).

    Args:
        predicted: (H, W) int16, 0 = background, n = the n-th of `names`.
        truth: (H, W) likewise, negative = void.
        names: The classes.
        present: Those that may be in one of the two: few, so that comparing with each costs less
            than counting all at once.

    Returns:
        Rows of `overlaps` without image and rule: the background and every class that is
        predicted or true.
    """
    valid, rows = truth >= 0, []
    for code, name in enumerate((BACKGROUND, *names)):
        if code and name not in present:
            continue
        guessed, right = (predicted == code) & valid, truth == code
        counts = {
            "shared": int(np.count_nonzero(guessed & right)),
            "predicted": int(np.count_nonzero(guessed)),
            "true": int(np.count_nonzero(right)),
        }
        if code == 0 or counts["predicted"] or counts["true"]:
            rows.append({"class": name, **counts})
    return rows
