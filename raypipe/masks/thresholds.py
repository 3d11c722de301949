"""From the maps of one image to its masks by a threshold. Plain NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from raypipe.maps import foreground, upsampled

Floats = npt.NDArray[np.float32]
Masks = npt.NDArray[np.bool_]


def threshold_masks(grids: Sequence[Floats], height: int, width: int, threshold: float) -> Masks:
    """Return where each map exceeds a share of its maximum; masks may overlap.

    Args:
        grids: (h, w) float32 maps.
        height: H of the image, pixels.
        width: W.
        threshold: The share.

    Returns:
        (C, H, W) bool.
    """
    return np.stack([foreground(upsampled(grid, height, width), threshold) for grid in grids])
