"""How much a cell looks like the object: a vote of the nearest labelled regions. Torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from raypipe.maps import Floats
from raypipe.refine.references import References

if TYPE_CHECKING:
    from torch import Tensor


class Matcher:
    """Compares the cells of an image with a class's references.

    Args:
        references: Labelled regions and background bank.
        neighbors: Nearest regions that vote.
        device: Where the features are.
    """

    def __init__(self, references: References, neighbors: int, device: torch.device) -> None:
        self._centre = torch.from_numpy(references.centre.copy()).to(device)
        self._unit = torch.from_numpy(references.unit).to(device)
        self._is_object = torch.from_numpy(references.is_object).to(device)
        self._neighbors = min(neighbors, len(references.is_object))

    def object_share(self, features: Tensor, wanted: npt.NDArray[np.bool_] | None = None) -> Floats:
        """Return p: the share of *object* among each cell's nearest references, by cosine.

        Args:
            features: (d, h, w) mid-level features of an image.
            wanted: (h, w) cells to look at; all by default. The cost grows with their number.

        Returns:
            (h, w) float32 in 0..1; 0 where it was not wanted.
        """
        grid = np.zeros(features.shape[1:], dtype=np.float32)
        chosen = np.ones(grid.shape, dtype=bool) if wanted is None else wanted
        rows, cols = (torch.from_numpy(axis).to(features.device) for axis in np.nonzero(chosen))
        with torch.inference_mode():
            cells = torch.nn.functional.normalize(features[:, rows, cols].float().T, dim=1)
            cells = torch.nn.functional.normalize(cells - self._centre, dim=1)
            nearest = (cells @ self._unit.T).topk(self._neighbors, dim=1).indices
            grid[chosen] = self._is_object[nearest].mean(dim=1).cpu().numpy()
        return grid
