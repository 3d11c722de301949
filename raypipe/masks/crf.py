"""Mean field of a fully connected CRF (Krähenbühl and Koltun, 2011), exact or on a coarser grid.

The energy is pydensecrf's, which SEC (Kolesnikov and Lampert, ECCV 2016) calls: Potts, a kernel of
position and one of position and colour, each normalised symmetrically, D^-1/2 K D^-1/2 with D the
row sums of K. K includes a pixel with itself, as pydensecrf's filter does.

The kernel of position is separable and computed exactly. The bilateral one is a dense matrix over
all pixels where there are few; else over the cells of a coarser grid, its message interpolated
back. A permutohedral lattice is faster on huge images, but no parameter makes its error small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Energy:
    """The pairwise terms and how they are computed; the defaults are SEC's at test time (s = 1).

    Attributes:
        bilateral: Weight w1 of the kernel of position and colour.
        position: Its theta_alpha, pixels.
        colour: Its theta_beta, levels of 0..255.
        smoothness: Weight w2 of the kernel of position alone.
        radius: Its theta_gamma, pixels.
        iterations: Of the mean field.
        max_pixels: Cells of the bilateral kernel's grid, at most; images of no more pixels are
            exact. Memory grows with its square: 4 bytes a pair. Ours.
    """

    bilateral: float = 10.0
    position: float = 80.0
    colour: float = 13.0
    smoothness: float = 3.0
    radius: float = 3.0
    iterations: int = 10
    max_pixels: int = 4096


def mean_field(unary: Floats, image: npt.NDArray[np.uint8], energy: Energy) -> Floats:
    """Return the marginals after some parallel updates, Q <- softmax(-unary + messages).

    Args:
        unary: (C, H, W) float32, minus the log of each class's probability.
        image: (H, W, 3) uint8 RGB.
        energy: The pairwise terms.

    Returns:
        (C, H, W) float32, summing to 1 over the classes.
    """
    height, width = image.shape[:2]
    with torch.inference_mode():
        logits = -torch.from_numpy(np.ascontiguousarray(unary, dtype=np.float32))
        smooth = _Smoothing(height, width, energy)
        similar = _Bilateral(torch.tensor(image).permute(2, 0, 1).float(), energy)
        marginals = logits.softmax(0)
        for _ in range(energy.iterations):
            messages = smooth.message(marginals) + similar.message(marginals)
            marginals = (logits + messages).softmax(0)
        found: Floats = marginals.numpy()
        return found


class _Smoothing:
    """The kernel of position: a product of a kernel of rows and one of columns, so exact."""

    def __init__(self, height: int, width: int, energy: Energy) -> None:
        self._rows = _normalised(_line(height, energy.radius))
        self._columns = _normalised(_line(width, energy.radius))
        self._weight = energy.smoothness

    def message(self, marginals: torch.Tensor) -> torch.Tensor:
        """Return w2 times the filtered marginals, (C, H, W)."""
        return self._weight * (self._rows @ marginals @ self._columns)


class _Bilateral:
    """The kernel of position and colour, over the pixels or the cells of a coarser grid.

    A cell stands for the mean of its pixels. That many pixels a cell have the same kernel cancels
    in the symmetric normalisation.
    """

    def __init__(self, image: torch.Tensor, energy: Energy) -> None:
        self._full = (image.shape[1], image.shape[2])
        self._grid = grid_size(*self._full, energy.max_pixels)
        colours = self._reduced(image).flatten(1).T / energy.colour
        rows, columns = (
            (torch.arange(cells) + 0.5) * pixels / cells / energy.position
            for cells, pixels in zip(self._grid, self._full, strict=True)
        )
        places = torch.cartesian_prod(rows, columns)
        features = torch.cat([places, colours], 1)
        features = features - features.mean(0)  # smaller numbers, smaller rounding
        squares = features.square().sum(1)
        # |a - b|^2 = |a|^2 + |b|^2 - 2ab, in place: the matrix is what takes the memory.
        kernel = torch.addmm(squares[None, :], features, features.T, alpha=-2.0)
        kernel.add_(squares[:, None]).clamp_(min=0).mul_(-0.5).exp_()
        self._kernel = _normalised(kernel)
        self._weight = energy.bilateral

    def message(self, marginals: torch.Tensor) -> torch.Tensor:
        """Return w1 times the filtered marginals, (C, H, W)."""
        cells = self._reduced(marginals).flatten(1)
        found = (self._kernel @ cells.T).T.reshape(-1, *self._grid)
        if self._grid != self._full:
            found = torch.nn.functional.interpolate(
                found[None], self._full, mode="bilinear", align_corners=False
            )[0]
        return self._weight * found

    def _reduced(self, planes: torch.Tensor) -> torch.Tensor:
        """Return the means over the cells of (C, H, W)."""
        if self._grid == self._full:
            return planes
        return torch.nn.functional.interpolate(planes[None], self._grid, mode="area")[0]


def grid_size(height: int, width: int, max_pixels: int) -> tuple[int, int]:
    """Return the rows and columns of a grid of at most that many cells, about as wide as high."""
    if height * width <= max_pixels:
        return height, width
    share = math.sqrt(max_pixels / (height * width))
    rows = min(max(1, round(height * share)), max_pixels)
    return rows, max(1, min(width, max_pixels // rows))


def _line(pixels: int, radius: float) -> torch.Tensor:
    """Return the (pixels, pixels) Gaussian kernel along one axis."""
    places = torch.arange(pixels, dtype=torch.float32) / radius
    return (-0.5 * (places[:, None] - places[None, :]).square()).exp()


def _normalised(kernel: torch.Tensor) -> torch.Tensor:
    """Return D^-1/2 K D^-1/2 in place, D the row sums: pydensecrf's NORMALIZE_SYMMETRIC."""
    scale = kernel.sum(1).rsqrt()
    return kernel.mul_(scale[:, None]).mul_(scale[None, :])
