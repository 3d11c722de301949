"""Fewer dimensions for stored features: a fixed random projection.

Cosines between features survive an orthogonal projection onto k random directions with a standard
error of about 1 / sqrt(k) (Johnson & Lindenstrauss 1984), whatever the data: nothing is fitted, so
every shard can be projected as it comes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional

from raypipe.columns import list_column, matrix
from raypipe.storage.run import Run
from raypipe.tables import PROJECTION


def random_directions(size: int, dimensions: int, seed: int) -> npt.NDArray[np.float32]:
    """Return orthonormal random directions, rounded to bfloat16's digits.

    So a product in either precision means the same directions.

    Args:
        size: d, of the features.
        dimensions: k, wanted; 0 = all.
        seed: Of the choice.

    Returns:
        (k, d) float32; (0, d) where nothing is to be reduced.
    """
    if not 0 < dimensions < size:
        return np.empty((0, size), np.float32)
    normal = np.random.default_rng(seed).standard_normal((size, dimensions))
    exact = torch.from_numpy(np.linalg.qr(normal)[0].T.copy())
    rounded: npt.NDArray[np.float32] = exact.bfloat16().float().numpy()
    return rounded


def projection_table(directions: npt.NDArray[np.float32]) -> pa.Table:
    """Return the PROJECTION rows."""
    columns = {"direction": list_column(list(directions), np.float32)}
    return pa.table(columns, schema=PROJECTION.schema)


class Projection:
    """Projects features as the extraction of a run did.

    Args:
        directions: (k, d) float32; no row = features stay as they are.
        device: Where the features are.
    """

    def __init__(self, directions: npt.NDArray[np.float32], device: torch.device) -> None:
        self._basis = torch.from_numpy(directions.T.copy()).to(device) if len(directions) else None

    @classmethod
    def of(cls, run: Run, device: torch.device) -> Projection:
        """Return the projection that a run's regions were stored with."""
        table = run.read(PROJECTION, "extract", "projection.parquet")
        return cls(matrix(table["direction"]), device)

    def __call__(self, vectors: Tensor) -> Tensor:
        """Project features and scale them to length 1; a zero row stays zero.

        The product is in the features' own precision: they have no more digits than that.

        Args:
            vectors: (N, d) in any floating type.

        Returns:
            (N, k) float32.
        """
        if self._basis is not None:
            if self._basis.dtype != vectors.dtype:
                self._basis = self._basis.to(vectors.dtype)  # nothing is lost: see above
            vectors = vectors @ self._basis
        return functional.normalize(vectors.float(), dim=1)
