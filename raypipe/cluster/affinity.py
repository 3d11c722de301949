"""The affinity graph: cosine k-nearest neighbours of centred features.

Neighbours are exact up to the size where an inverted file of cells wins, and there the share of
true neighbours is measured on a sample: below 0.98 more cells are searched, in the end all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.float32]

EXACT_UP_TO = 40_000
"""Points up to which exact search is as fast: 100,000 x 512 takes 55 s against 25 s."""

_RECALL = 0.98
_SAMPLE = 1000  # points whose true neighbours are looked up
_PROBES = 32  # cells of the inverted file that are searched at first
_GPU_BLOCK = 4096  # rows of the similarity matrix on a GPU at once: 3 GB at 200,000 points


@dataclass(frozen=True)
class Neighbors:
    """The nearest other points of n points.

    Attributes:
        indices: (n, k) int64, the nearest first.
        similarity: (n, k) float32 cosines.
        recall: Share of the true neighbours that was found, on a sample; 1 where all were looked
            at.
    """

    indices: npt.NDArray[np.int64]
    similarity: Floats
    recall: float = 1.0


def centred(features: Floats, centre: Floats) -> Floats:
    """Subtract a centre and scale to length 1: what all regions share says nothing.

    Args:
        features: (n, d) float32.
        centre: (d,) float32.

    Returns:
        (n, d) float32; a feature equal to the centre stays zero.
    """
    unit = np.subtract(features, centre, dtype=np.float32)
    norms = np.sqrt(np.einsum("nd,nd->n", unit, unit))[:, None]
    # What is left of equal features is rounding, not a direction.
    unit /= np.where(norms > 1e-5, norms, np.inf)
    return unit


def nearest(unit: Floats, neighbors: int, *, gpu: bool = False) -> Neighbors:
    """Return the nearest other points by cosine.

    Args:
        unit: (n, d) float32 rows of length 1.
        neighbors: k; fewer where there are fewer points.
        gpu: Search exactly on a CUDA device.
    """
    k = min(neighbors, len(unit) - 1)
    if k < 1:
        return Neighbors(np.empty((len(unit), 0), np.int64), np.empty((len(unit), 0), np.float32))
    if gpu:
        return _without_self(*_on_gpu(unit, k + 1))
    if len(unit) <= EXACT_UP_TO:
        return _without_self(*_exact(unit, unit, k + 1))
    return _by_cells(unit, k)


def knn_graph(found: Neighbors) -> sparse.csr_array:
    """Return the symmetrised graph of nearest neighbours, weighted by cosine.

    Args:
        found: Neighbours of n points.

    Returns:
        (n, n) float64 weights in 0..1, an edge where either end is near the other, without loops;
        negative cosines are no edges.
    """
    count, k = found.indices.shape
    weights = np.clip(found.similarity, 0.0, 1.0).ravel().astype(np.float64)
    pointers = np.arange(count + 1) * k
    graph = sparse.csr_array((weights, found.indices.ravel(), pointers), (count, count))
    symmetric = sparse.csr_array(graph.maximum(graph.T))
    symmetric.eliminate_zeros()
    return symmetric


def _exact(queries: Floats, unit: Floats, k: int) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return the k largest cosines of each query and whose they are, by blocks."""
    import faiss

    similarity, indices = faiss.knn(queries, unit, k, metric=faiss.METRIC_INNER_PRODUCT)
    return similarity, indices


def _on_gpu(unit: Floats, k: int) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Do the same on a CUDA device."""
    import torch

    points = torch.from_numpy(unit).cuda()
    blocks = [(block @ points.T).topk(k, dim=1) for block in torch.split(points, _GPU_BLOCK)]
    values = torch.cat([block.values for block in blocks]).cpu().numpy()
    return values, torch.cat([block.indices for block in blocks]).cpu().numpy()


def _by_cells(unit: Floats, k: int) -> Neighbors:
    """Search an inverted file: only the cells that are nearest to a point.

    The cells are found by k-means from a fixed start, so the result depends on no thread. Twice
    as many are searched until enough of the true neighbours of a sample are found.
    """
    import faiss

    count, width = unit.shape
    cells = int(4 * np.sqrt(count))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter, index.cp.max_points_per_centroid = 8, 64
    index.train(unit)
    index.add(unit)
    sample = np.linspace(0, count - 1, _SAMPLE).astype(np.int64)
    truth = _without_self(*_exact(unit[sample], unit, k + 1), sample).indices
    probes = _PROBES
    # Searching an eighth of the cells costs about as much as exact search.
    while probes <= cells // 8:
        index.nprobe = probes
        found = _without_self(*index.search(unit[sample], k + 1), sample).indices
        recall = float(np.mean([np.isin(a, b).mean() for a, b in zip(truth, found, strict=True)]))
        if recall >= _RECALL:
            similarity, indices = index.search(unit, k + 1)
            # Among many copies, the cells near a point may hold fewer points than are wanted.
            lacking = np.flatnonzero(indices[:, -1] < 0)
            if len(lacking):
                similarity[lacking], indices[lacking] = _exact(unit[lacking], unit, k + 1)
            found_all = _without_self(similarity, indices)
            return Neighbors(found_all.indices, found_all.similarity, recall)
        probes *= 2
    return _without_self(*_exact(unit, unit, k + 1))


def _without_self(
    similarity: Floats, indices: npt.NDArray[np.int64], own: npt.NDArray[np.int64] | None = None
) -> Neighbors:
    """Drop each point from its own neighbours; the last one where equal points crowd it out."""
    count, k = indices.shape
    rows = np.arange(count) if own is None else own
    dropped = indices == rows[:, None]
    dropped[~dropped.any(axis=1), -1] = True
    kept = ~dropped
    return Neighbors(indices[kept].reshape(count, k - 1), similarity[kept].reshape(count, k - 1))
