"""How much a cell looks like the object: a vote of the nearest labelled regions. Torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

    Attributes:
        guessed: Share of the class's regions whose votes nobody answered.
    """

    def __init__(self, references: References, neighbors: int, device: torch.device) -> None:
        self._centre = torch.from_numpy(references.centre.copy()).to(device)
        self._unit = torch.from_numpy(references.unit).to(device)
        self._is_object = torch.from_numpy(references.is_object).to(device)
        self.guessed = references.guessed
        self._neighbors = min(neighbors, len(references.is_object))

    def object_share(self, vectors: Tensor) -> Floats:
        """Return p: the share of *object* among each cell's nearest references, by cosine.

        Args:
            vectors: (n, d) float32 features as they are stored, rows of length 1.

        Returns:
            (n,) float32 in 0..1.
        """
        with torch.inference_mode():
            cells = torch.nn.functional.normalize(vectors - self._centre, dim=1)
            nearest = (cells @ self._unit.T).topk(self._neighbors, dim=1).indices
            share: Floats = self._is_object[nearest].mean(dim=1).cpu().numpy()
        return share
