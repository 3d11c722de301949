"""From the maps of one image to its masks by a CRF. No Ray, no files."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from raypipe.config import MasksConfig
from raypipe.maps import upsampled
from raypipe.masks.crf import Energy, mean_field

Floats = npt.NDArray[np.float32]
Masks = npt.NDArray[np.bool_]


def crf_masks(grids: Sequence[Floats], image: npt.NDArray[np.uint8], config: MasksConfig) -> Masks:
    """Return the most probable class of each pixel after one mean field over an image's classes.

    A map without any score has no mask.

    Args:
        grids: (h, w) float32 maps, one a class.
        image: (H, W, 3) uint8 RGB.
        config: Threshold, constants of the unary, parameters of the pairwise terms.

    Returns:
        (C, H, W) bool; no pixel is of two classes.
    """
    height, width = image.shape[:2]
    found = np.zeros((len(grids), height, width), np.bool_)
    maps = [upsampled(grid, height, width) for grid in grids]
    present = [at for at, scores in enumerate(maps) if scores.max() > 0]
    if present:
        scaled = np.stack([maps[at] / maps[at].max() for at in present])
        best = mean_field(unary(scaled, config), image, energy(config)).argmax(0)
        for place, at in enumerate(present):
            found[at] = best == place + 1
    return found


def unary(maps: Floats, config: MasksConfig) -> Floats:
    """Return minus the log of each class's probability. The form is ours.

    p(class) = map^g and p(background) = 1 - max p(class), both at least `floor`, then made to sum
    to 1. Unless set, g is log 0.5 / log threshold: a class is as probable as the background where
    its map crosses the threshold, so a CRF without pairwise terms gives the threshold's mask.

    Args:
        maps: (C, H, W) in 0..1.
        config: `threshold`, `exponent`, `floor`.

    Returns:
        (C + 1, H, W) float32, the background first.
    """
    chances = np.clip(maps, 0, 1) ** exponent(config)
    background = 1 - chances.max(0, keepdims=True)
    both = np.clip(np.concatenate([background, chances]), config.floor, 1)
    found: Floats = -np.log(both / both.sum(0)).astype(np.float32)
    return found


def exponent(config: MasksConfig) -> float:
    """Return g: the one that is set, or the one that goes with the threshold."""
    return config.exponent or math.log(0.5) / math.log(config.threshold)


def energy(config: MasksConfig) -> Energy:
    """Return the pairwise terms."""
    return Energy(
        bilateral=config.bilateral,
        position=config.position,
        colour=config.colour,
        smoothness=config.smoothness,
        radius=config.radius,
        iterations=config.iterations,
        max_pixels=config.cells,
    )
