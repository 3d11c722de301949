"""The spectrum of an affinity graph and what its gaps say. Plain NumPy and SciPy.

Single-vector Krylov solvers such as ARPACK silently miss copies of repeated eigenvalues, which
is what well-separated clusters give; so components are counted first, small graphs are solved
densely and large ones by a block method whose residuals are returned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse
from scipy.sparse.csgraph import connected_components

from raypipe.config import ClusterConfig

Floats = npt.NDArray[np.float64]

_DENSE = 1500  # points up to which a dense solver is as fast
_GUARD = 8  # extra vectors of the block, so that the wanted ones converge well
_DEGREE = 12  # of the Chebyshev filter
_ROUNDS = 60
_TOLERANCE = 1e-7
_ZERO = 1e-6  # two eigenvalues this close are the same


@dataclass(frozen=True)
class Spectrum:
    """The top of a normalised affinity matrix's spectrum.

    Attributes:
        values: (m,) float64 largest eigenvalues, descending; the first is 1.
        vectors: (n, m) float64 orthonormal eigenvectors.
        components: Connected components: copies of the eigenvalue 1.
        residual: Largest norm of M v - λ v.
    """

    values: Floats
    vectors: Floats
    components: int
    residual: float


def spectrum(graph: sparse.csr_array, count: int, seed: int) -> Spectrum:
    """Return the largest eigenpairs of D^-1/2 A D^-1/2 (Ng, Jordan & Weiss, NIPS 2001).

    Isolated points keep eigenvalue 1, as components of their own.

    Args:
        graph: (n, n) symmetric non-negative weights.
        count: Eigenpairs wanted; fewer where there are fewer points.
        seed: Seed of the block's start.
    """
    size = graph.shape[0]
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    isolated = degrees <= 0
    scale = sparse.diags_array(1 / np.sqrt(np.where(isolated, 1.0, degrees)))
    normalised = scale @ graph @ scale + sparse.diags_array(isolated.astype(np.float64))
    matrix = sparse.csr_array(normalised)
    wanted = min(count, size)
    if size <= max(_DENSE, 4 * (wanted + _GUARD)):
        values, vectors = linalg.eigh(matrix.toarray(), subset_by_index=(size - wanted, size - 1))
        values, vectors = values[::-1], vectors[:, ::-1]
    else:
        values, vectors = _filtered_subspace(matrix, wanted, seed)
    residual = np.linalg.norm(matrix @ vectors - vectors * values, axis=0).max()
    components = int(connected_components(graph, directed=False)[0])
    return Spectrum(values, vectors, components, float(residual))


def _filtered_subspace(matrix: sparse.csr_array, wanted: int, seed: int) -> tuple[Floats, Floats]:
    """Chebyshev-filtered block subspace iteration (Zhou, Saad et al., J. Comput. Phys. 2006).

    Each round damps the unwanted part [-1, cut] of the spectrum by a Chebyshev polynomial, then
    solves the small projected problem; a block finds repeated eigenvalues with all copies.
    """
    generator = np.random.default_rng(seed)
    block = np.linalg.qr(generator.standard_normal((matrix.shape[0], wanted + _GUARD)))[0]
    values = np.linalg.eigvalsh(block.T @ (matrix @ block))
    for _ in range(_ROUNDS):
        # The smallest Ritz value bounds the unwanted part from above.
        block = np.linalg.qr(_chebyshev(matrix, block, low=-1.0, high=float(values[0])))[0]
        image = matrix @ block
        values, rotation = np.linalg.eigh(block.T @ image)
        block, image = block @ rotation, image @ rotation
        top = slice(-1, -wanted - 1, -1)
        residuals = np.linalg.norm(image[:, top] - block[:, top] * values[top], axis=0)
        if residuals.max() < _TOLERANCE:
            break
    return values[top], block[:, top]


def _chebyshev(matrix: sparse.csr_array, block: Floats, *, low: float, high: float) -> Floats:
    """Apply the Chebyshev polynomial that is small on [low, high] and grows above."""
    half, centre = max((high - low) / 2, 1e-3), (high + low) / 2
    previous, current = block, (matrix @ block - centre * block) / half
    for _ in range(_DEGREE - 1):
        following = 2 * (matrix @ current - centre * current) / half - previous
        previous, current = current, following
    return current


def choose_clusters(values: Floats, config: ClusterConfig) -> int:
    """Return the number of clusters that a spectrum speaks for.

    1. One, if the second eigenvalue is low: no cut is cheap, there is no structure. Gaussians with
       the covariance of real classes' regions have 0.81 to 0.90, real classes 0.92 and more.
    2. The place of the largest gap, if it is clear (von Luxburg, Stat. Comput. 2007).
    3. Else as many as there are cuts about as cheap as the best one, 1 - λ_k at most twice
       1 - λ_2, within the budget of questions. Spectra of real classes decay smoothly: the
       largest gap of many is a coin's toss there, and changes with the sample.

    The rule is ours; docs/explanation/decisions/0006-constants.md has its cross-validation.

    Args:
        values: Eigenvalues, descending, at least one.
        config: Thresholds, budget and maximum.
    """
    if len(values) < 2 or config.max_clusters == 1 or values[1] < config.structure:
        return 1
    gaps = (values[:-1] - values[1:])[1 : config.max_clusters]
    if len(gaps) and gaps.max() >= config.clear_gap:
        return int(np.argmax(gaps)) + 2
    costs = 1.0 - values
    cheap = int((costs <= 2 * max(float(costs[1]), _ZERO)).sum())
    return min(cheap, config.budget, config.max_clusters)
