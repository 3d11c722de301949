"""Graphs whose spectrum is known, or can be had from a dense solver."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

Floats = npt.NDArray[np.float64]


def normalised(graph: sparse.csr_array) -> Floats:
    """Return the dense D^-1/2 A D^-1/2, with 1 on the diagonal of points without edges."""
    dense = graph.toarray()
    degrees = dense.sum(axis=1)
    scale = 1 / np.sqrt(np.where(degrees > 0, degrees, 1))
    matrix: Floats = scale[:, None] * dense * scale + np.diag((degrees <= 0).astype(float))
    return matrix


def top_values(matrix: Floats, count: int) -> Floats:
    """Return the largest eigenvalues of a dense matrix, descending."""
    # All of them: bisection for a few fails on some matrices ("Internal Error" of LAPACK).
    values: Floats = linalg.eigvalsh(matrix, driver="evd")[::-1][:count]
    return values


def path(size: int) -> sparse.csr_array:
    ones = np.ones(size - 1)
    return sparse.csr_array(sparse.diags_array([ones, ones], offsets=[-1, 1]))


def star(size: int) -> sparse.csr_array:
    """Return one point that is joined to all others, which are joined to nothing else."""
    ones = np.ones(size - 1)
    rays = sparse.coo_array((ones, (np.zeros(size - 1, int), np.arange(1, size))), (size, size))
    return sparse.csr_array(rays + rays.T)


def block(size: int, seed: int = 0) -> sparse.csr_array:
    """Return a connected random graph with about ten edges a point."""
    drawn = sparse.random_array(
        (size, size), density=min(8 / size, 1), rng=np.random.default_rng(seed)
    )
    graph = sparse.lil_array(drawn + drawn.T + 0.1 * path(size))
    graph.setdiag(0)
    return sparse.csr_array(graph)


def apart(blocks: list[sparse.csr_array]) -> sparse.csr_array:
    """Return graphs side by side, as one without an edge between them."""
    return sparse.csr_array(sparse.block_diag(blocks))


def chained(blocks: list[sparse.csr_array], weight: float) -> sparse.csr_array:
    """Return graphs side by side, an edge between the first points of each two in a row."""
    first = np.cumsum([0, *(graph.shape[0] for graph in blocks)])
    whole = sparse.coo_array(apart(blocks))
    heads, tails = first[:-2], first[1:-1]
    link = sparse.coo_array((np.full(len(heads), weight), (heads, tails)), whole.shape)
    return sparse.csr_array(whole + link + link.T)
