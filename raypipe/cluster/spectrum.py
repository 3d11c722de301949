"""The top of an affinity graph's spectrum, with its proof. Plain NumPy and SciPy.

Single-vector Krylov solvers such as ARPACK silently miss copies of repeated eigenvalues, which
is what well-separated clusters give. So connected components are found first: each has the
eigenvalue 1 once, with a known vector. What is left of a component is solved densely if it is
small, else by a block method; then residuals and the copies of 1 are checked, and a component
that fails is solved again by another method.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import lobpcg
from threadpoolctl import threadpool_limits

Floats = npt.NDArray[np.float64]

_DENSE = 800  # points of a component up to which a dense solver is as fast
_DENSE_RETRY = 5000  # and up to which it is the way out: 200 MB, half a minute
_GUARD = 8  # extra vectors of the block, so that the wanted ones converge well
_AMPLIFIED = 18.0  # log of what one filter may do to the top against the cut: 1e8 keeps the rank
_ROUNDED = 28.0  # likewise at 1, where rounding leaves 1e-16 of the known vector
_DEGREES = 8, 400  # of the Chebyshev filter
_ROUNDS = 40
_TOLERANCE = 1e-6
_SINGLE = 1e-2  # residual down to which single precision costs nothing
_ONE = 1e-10  # eigenvalues this close to 1 are copies of it


@dataclass(frozen=True)
class Spectrum:
    """The top of a normalised affinity matrix's spectrum.

    Attributes:
        values: (m,) float64 largest eigenvalues, descending; the first is 1.
        vectors: (n, m) float64 orthonormal eigenvectors.
        components: Connected components of the graph.
        component: (n,) int32 component of each point, the largest first.
        residual: Largest norm of M v - λ v.
        solver: What solved the largest component: `known` where only the eigenvalues 1 were
            wanted, `dense`, `filtered`, or `lobpcg`.
    """

    values: Floats
    vectors: Floats
    components: int
    component: npt.NDArray[np.int32]
    residual: float
    solver: str

    @property
    def ones(self) -> int:
        """Copies of the eigenvalue 1: as many as there are components, if that many are here."""
        return int((self.values > 1 - _ONE).sum())


def spectrum(graph: sparse.csr_array, count: int, seed: int) -> Spectrum:
    """Return the largest eigenpairs of D^-1/2 A D^-1/2 (Ng, Jordan & Weiss, NIPS 2001).

    Isolated points keep eigenvalue 1, as components of their own.

    Args:
        graph: (n, n) symmetric non-negative weights.
        count: Eigenpairs wanted; fewer where there are fewer points.
        seed: Seed of the block's start.
    """
    size = graph.shape[0]
    wanted = min(count, size)
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    isolated = degrees <= 0
    degrees = np.where(isolated, 1.0, degrees)
    scale = sparse.diags_array(1 / np.sqrt(degrees))
    matrix = sparse.csr_array(scale @ graph @ scale + sparse.diags_array(isolated.astype(float)))
    components, component = _components(graph)

    # 1. One known vector a component, the largest components first.
    known = np.zeros((size, min(components, wanted)))
    for number in range(known.shape[1]):
        own = component == number
        known[own, number] = np.sqrt(degrees[own] / degrees[own].sum())
    values, vectors, solver = np.ones(known.shape[1]), known, "known"

    # 2. The next ones of every component that has more than its known vector.
    more = wanted - known.shape[1]
    if more:
        sizes = np.bincount(component)
        found = []
        for number in np.flatnonzero(sizes > 1).tolist():
            own = np.flatnonzero(component == number)
            block = matrix[own][:, own] if components > 1 else matrix
            pairs = _next_pairs(block, known[own, number], more, seed)
            solver = pairs.solver if number == 0 else solver
            found.append((own, pairs))
        values, vectors = _merged(values, vectors, found, more)
    residual = np.linalg.norm(matrix @ vectors - vectors * values, axis=0).max(initial=0.0)
    return Spectrum(values, vectors, components, component, float(residual), solver)


def _components(graph: sparse.csr_array) -> tuple[int, npt.NDArray[np.int32]]:
    """Return the components' number and each point's, the largest first, then by first point."""
    count, labels = connected_components(graph, directed=False)
    _, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    rank = np.empty(count, np.int32)
    rank[np.lexsort((first, -sizes))] = np.arange(count, dtype=np.int32)
    return int(count), rank[labels]


@dataclass(frozen=True)
class _Pairs:
    """Eigenpairs of one component after its known one, descending."""

    values: Floats
    vectors: Floats
    solver: str


def _next_pairs(matrix: sparse.csr_array, known: Floats, count: int, seed: int) -> _Pairs:
    """Return the `count` eigenpairs of a connected graph after eigenvalue 1.

    Args:
        matrix: (n, n), n > 1.
        known: (n,) unit eigenvector of eigenvalue 1.
        count: Pairs wanted; fewer where there are fewer points.
        seed: Of the block's start.
    """
    size = len(known)
    wanted = min(count, size - 1)
    if size <= max(_DENSE, 4 * (wanted + _GUARD)):
        return _dense(matrix, known, wanted)
    # The block is narrow: with threads that wait for one another its QR takes five times as long.
    with threadpool_limits(1, "blas"):
        pairs = _filtered(matrix, known, wanted, seed)
    if _right(matrix, pairs):
        return pairs
    if size <= _DENSE_RETRY:
        return _dense(matrix, known, wanted)
    values, vectors = lobpcg(
        matrix, pairs.vectors, Y=known[:, None], tol=_TOLERANCE, maxiter=500, largest=True
    )
    order = np.argsort(-np.asarray(values, float), kind="stable")
    again = _Pairs(np.asarray(values, float)[order], np.asarray(vectors, float)[:, order], "lobpcg")
    return min(again, pairs, key=lambda found: _residuals(matrix, found).max())


def _residuals(matrix: sparse.csr_array, pairs: _Pairs) -> Floats:
    lengths: Floats = np.linalg.norm(matrix @ pairs.vectors - pairs.vectors * pairs.values, axis=0)
    return lengths


def _right(matrix: sparse.csr_array, pairs: _Pairs) -> bool:
    """Whether the pairs solve the problem, and none is a copy of the known one."""
    # A connected graph has the eigenvalue 1 once (Perron and Frobenius).
    return bool(_residuals(matrix, pairs).max() < _TOLERANCE and pairs.values[0] < 1 - _ONE)


def _dense(matrix: sparse.csr_array, known: Floats, wanted: int) -> _Pairs:
    """Solve a small graph; the known vector is moved out of the way, to eigenvalue -2."""
    size = len(known)
    # Not to -1, which bipartite graphs have, too.
    rest = matrix.toarray() - 3 * np.outer(known, known)
    values, vectors = linalg.eigh(
        rest, subset_by_index=(size - wanted, size - 1), overwrite_a=True, check_finite=False
    )
    return _Pairs(values[::-1], vectors[:, ::-1], "dense")


def _filtered(matrix: sparse.csr_array, known: Floats, wanted: int, seed: int) -> _Pairs:
    """Chebyshev-filtered block subspace iteration (Zhou, Saad et al., J. Comput. Phys. 2006).

    Each round damps the unwanted part [-1, cut] of the spectrum by a Chebyshev polynomial, then
    solves the small projected problem; a block finds repeated eigenvalues with all copies. The
    degree follows from how near the wanted part is: a path needs hundreds, clusters ten. Filters
    far from the end are applied in single precision, at half the memory traffic.
    """
    single = matrix.astype(np.float32)
    generator = np.random.default_rng(seed)
    block = _orthonormal(generator.standard_normal((len(known), wanted + _GUARD)), known)
    values, block, residuals = _rotated(matrix, block)
    top = 1.0  # Ritz values of a random block say nothing of the largest eigenvalue yet
    for number in range(_ROUNDS):
        # The smallest Ritz value bounds the unwanted part from above.
        early = residuals[:wanted].max() > _SINGLE
        filtered = _chebyshev(
            single if early else matrix,
            block.astype(np.float32) if early else block,
            float(values[-1]),
            top,
        )
        block = _orthonormal(filtered.astype(np.float64), known)
        values, block, residuals = _rotated(matrix, block)
        top = float(values[0])
        # Some vectors of a random block are right by chance and not the largest ones: only what a
        # filter of full strength leaves counts.
        if number and residuals[:wanted].max() < _TOLERANCE:
            break
    return _Pairs(values[:wanted], block[:, :wanted], "filtered")


def _orthonormal(block: Floats, known: Floats) -> Floats:
    """Return an orthonormal basis of a block without the known vector's share."""
    block -= np.outer(known, known @ block)
    basis, _ = linalg.qr(block, mode="economic", overwrite_a=True, check_finite=False)
    # Again: in columns that the filter damped, rounding left a share of 1e-8.
    return np.asarray(basis - np.outer(known, known @ basis))


def _rotated(matrix: sparse.csr_array, block: Floats) -> tuple[Floats, Floats, Floats]:
    """Return Ritz values, descending, their vectors and residuals (Rayleigh and Ritz)."""
    image = matrix @ block
    values, rotation = np.linalg.eigh(block.T @ image)
    values, rotation = values[::-1], rotation[:, ::-1]
    block, image = block @ rotation, image @ rotation
    return values, block, np.linalg.norm(image - block * values, axis=0)


def _chebyshev(matrix: sparse.csr_array, block: Floats, cut: float, top: float) -> Floats:
    """Apply the Chebyshev polynomial that is small on [-1, cut] and grows above."""
    half, centre = max((cut + 1) / 2, 1e-3), (cut - 1) / 2
    growth, of_known = np.arccosh(np.maximum((np.array([top, 1.0]) - centre) / half, 1 + 1e-12))
    degree = int(np.clip(min(_AMPLIFIED / growth, _ROUNDED / of_known), *_DEGREES))
    previous, current = block, (matrix @ block - centre * block) / half
    for _ in range(degree - 1):
        following = matrix @ current
        following -= centre * current
        following *= 2 / half
        following -= previous
        previous, current = current, following
    return current


def _merged(
    values: Floats, vectors: Floats, found: list[tuple[npt.NDArray[np.intp], _Pairs]], more: int
) -> tuple[Floats, Floats]:
    """Add the largest of all components' next pairs."""
    candidates = [
        (-float(value), place, at)
        for place, (_, pairs) in enumerate(found)
        for at, value in enumerate(pairs.values)
    ]
    chosen = sorted(candidates)[:more]
    added = np.zeros((len(vectors), len(chosen)))
    for column, (_, place, at) in enumerate(chosen):
        own, pairs = found[place]
        added[own, column] = pairs.vectors[:, at]
    low = [-value for value, _, _ in chosen]
    return np.concatenate([values, low]), np.hstack([vectors, added])
