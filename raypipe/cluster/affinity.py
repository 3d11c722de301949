"""The affinity graph: cosine k-nearest neighbours of centred features. Plain NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.float32]

_BLOCK = 2048  # rows of the similarity matrix held at once: 2048 x 5000 floats are 40 MB


def centred(features: Floats, centre: Floats) -> Floats:
    """Subtract the class mean and scale to length 1: what the classes share says nothing.

    Args:
        features: (n, d) float32.
        centre: (d,) float32.

    Returns:
        (n, d) float32; a feature equal to the centre stays zero.
    """
    shifted = features.astype(np.float32) - centre
    norms = np.linalg.norm(shifted, axis=1, keepdims=True)
    unit: Floats = shifted / np.maximum(norms, 1e-12)
    return unit


def knn_graph(unit: Floats, neighbors: int) -> sparse.csr_array:
    """Return the symmetrised graph of cosine nearest neighbours, negative weights cut.

    Args:
        unit: (n, d) float32 rows of length 1.
        neighbors: k; fewer where there are fewer points.

    Returns:
        (n, n) float64 weights in 0..1, an edge where either end is near the other, without loops.
    """
    count = len(unit)
    k = min(neighbors, count - 1)
    if k < 1:
        return sparse.csr_array((count, count), dtype=np.float64)
    columns, weights = [], []
    for start in range(0, count, _BLOCK):
        similarity = unit[start : start + _BLOCK] @ unit.T
        rows = np.arange(len(similarity))
        similarity[rows, rows + start] = -np.inf
        nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        columns.append(nearest)
        weights.append(np.take_along_axis(similarity, nearest, axis=1))
    values = np.maximum(np.concatenate(weights).ravel(), 0.0).astype(np.float64)
    pointers = np.arange(0, count * k + 1, k)
    graph = sparse.csr_array((values, np.concatenate(columns).ravel(), pointers), (count, count))
    symmetric = sparse.csr_array(graph.maximum(graph.T))
    symmetric.eliminate_zeros()
    return symmetric
