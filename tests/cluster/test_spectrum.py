"""The spectrum against a dense solver, and against graphs whose spectrum is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg, sparse

from raypipe.cluster.affinity import knn_graph
from raypipe.cluster.spectrum import _filtered_subspace, spectrum

LIMIT = 1500  # up to here the solver is dense


def normalised(graph) -> np.ndarray:
    dense = graph.toarray()
    scale = 1 / np.sqrt(dense.sum(axis=1))
    return scale[:, None] * dense * scale


def blobs(sizes: list[int], spread: float = 0.7, seed: int = 0) -> np.ndarray:
    """Return unit rows around one direction a blob."""
    generator = np.random.default_rng(seed)
    centres = np.eye(len(sizes), 16)
    rows = np.concatenate([centre + spread * generator.normal(size=(size, 16)) / 4
                           for centre, size in zip(centres, sizes, strict=True)])  # fmt: skip
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def check(graph, count: int) -> None:
    found = spectrum(graph, count, seed=0)
    matrix = normalised(graph)
    size = len(matrix)
    expected = linalg.eigh(
        matrix, eigvals_only=True, subset_by_index=(size - min(count, size), size - 1)
    )[::-1]
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    assert found.vectors.shape == (size, min(count, size))
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(min(count, size)), atol=1e-8)
    residuals = np.linalg.norm(matrix @ found.vectors - found.vectors * found.values, axis=0)
    assert found.residual == pytest.approx(residuals.max(), abs=1e-9)
    assert found.residual < 1e-5


@pytest.mark.parametrize("size", [2, 3, 5, 40, 400])
def test_small_graphs(size) -> None:
    check(knn_graph(blobs([size]), 10), 9)


@pytest.mark.parametrize("sizes", [[1501], [800, 701]])
def test_graphs_just_above_the_dense_limit(sizes) -> None:
    graph = knn_graph(blobs(sizes), 20)
    assert graph.shape[0] > LIMIT
    check(graph, 9)


def test_the_block_solver_on_a_graph_of_any_size() -> None:
    graph = knn_graph(blobs([150, 120, 90]), 10)
    matrix = sparse.csr_array(normalised(graph))
    values, vectors = _filtered_subspace(matrix, 6, seed=1)
    np.testing.assert_allclose(values, linalg.eigvalsh(matrix.toarray())[:-7:-1], atol=1e-6)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(6), atol=1e-8)


@pytest.mark.parametrize("size", [200, 600])  # dense, and by blocks
def test_every_component_is_one_copy_of_eigenvalue_1(size) -> None:
    blocks = [knn_graph(blobs([size], seed=seed), 10) for seed in range(5)]
    graph = sparse.csr_array(sparse.block_diag(blocks))
    found = spectrum(graph, 8, seed=0)
    assert found.components == 5
    np.testing.assert_allclose(found.values[:5], 1, atol=1e-8)
    assert found.values[5] < 0.999
    # an indicator of each component lies in the span of the five vectors
    for number in range(5):
        scale = np.zeros(5 * size)
        own = slice(number * size, (number + 1) * size)
        scale[own] = np.sqrt(graph.sum(axis=1)[own])
        scale /= np.linalg.norm(scale)
        assert np.linalg.norm(found.vectors[:, :5].T @ scale) == pytest.approx(1, abs=1e-6)


def path(size: int) -> sparse.csr_array:
    ones = np.ones(size - 1)
    return sparse.csr_array(sparse.diags_array([ones, ones], offsets=[-1, 1]))


@pytest.mark.parametrize("size", [10, 300])
def test_a_path_has_cosines(size) -> None:
    found = spectrum(path(size), 6, seed=0)
    np.testing.assert_allclose(found.values, np.cos(np.pi * np.arange(6) / (size - 1)), atol=1e-9)
    assert found.components == 1


def test_a_long_path_is_the_hardest_case_and_says_how_good_it_is() -> None:
    """Gaps of 1e-5: the residual tells what the block solver reached."""
    size = 1600
    found = spectrum(path(size), 6, seed=0)
    error = np.abs(found.values - np.cos(np.pi * np.arange(6) / (size - 1))).max()
    assert error <= max(found.residual, 1e-9)
    assert error < 1e-4


@pytest.mark.parametrize("size", [30, 1600])
def test_a_complete_graph(size) -> None:
    graph = sparse.csr_array(np.ones((size, size)) - np.eye(size))
    found = spectrum(graph, 3, seed=0)
    np.testing.assert_allclose(found.values, [1, -1 / (size - 1), -1 / (size - 1)], atol=1e-8)


def test_isolated_points_are_components() -> None:
    dense = np.zeros((6, 6))
    dense[0, 1] = dense[1, 0] = 0.5
    dense[2, 3] = dense[3, 2] = 1e-9
    found = spectrum(sparse.csr_array(dense), 6, seed=0)
    assert found.components == 4
    np.testing.assert_allclose(found.values, [1, 1, 1, 1, -1, -1], atol=1e-9)


@pytest.mark.parametrize("count", [1, 4])
def test_one_point_and_no_edges(count) -> None:
    found = spectrum(sparse.csr_array((count, count), dtype=np.float64), 5, seed=0)
    np.testing.assert_allclose(found.values, np.ones(count))
    assert found.components == count
    assert found.residual == 0


def test_the_seed_decides_alone() -> None:
    graph = knn_graph(blobs([1600]), 10)
    one, two = (spectrum(graph, 5, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.vectors, two.vectors)
