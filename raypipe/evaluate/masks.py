"""Pixel metrics of one map against a class's mask, void pixels ignored. Plain NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raypipe.datasets.truth import ClassMask
from raypipe.maps import Floats, foreground


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


def pixel_scores(image_map: Floats, truth: ClassMask, threshold: float) -> PixelScores:
    """Compare the foreground of a map with the truth.

    Args:
        image_map: (H, W) float32, the map at image size.
        truth: The class's mask, (H, W), with at least one pixel outside void.
        threshold: Share of the map's maximum above which a pixel is predicted.
    """
    predicted = foreground(image_map, threshold) & truth.valid
    inside = truth.inside & truth.valid
    shared = int(np.count_nonzero(predicted & inside))
    if shared == 0:
        return NOTHING_FOUND
    found, true = int(np.count_nonzero(predicted)), int(np.count_nonzero(inside))
    return PixelScores(shared / (found + true - shared), shared / found, shared / true)
