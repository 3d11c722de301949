"""The graph of nearest neighbours against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.cluster.affinity import centred, knn_graph


def points(count: int, size: int = 8, seed: int = 0) -> np.ndarray:
    features = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def brute(unit: np.ndarray, neighbors: int) -> np.ndarray:
    """Return the dense graph, point by point."""
    count = len(unit)
    graph = np.zeros((count, count))
    for row in range(count):
        cosines = {col: float(unit[row] @ unit[col]) for col in range(count) if col != row}
        for col in sorted(cosines, key=lambda name: -cosines[name])[:neighbors]:
            if cosines[col] > 0:
                graph[row, col] = graph[col, row] = cosines[col]
    return graph


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 999))
def test_it_is_the_graph_of_brute_force(count, neighbors, seed) -> None:
    unit = points(count, seed=seed)
    graph = knn_graph(unit, neighbors)
    np.testing.assert_allclose(graph.toarray(), brute(unit, neighbors), atol=1e-6)
    assert graph.dtype == np.float64


def test_it_is_the_same_across_blocks() -> None:
    """More points than rows of the similarity matrix that are held at once."""
    unit = points(2100)
    graph = knn_graph(unit, 5)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    nearest = np.argsort(-cosines, axis=1)[:, :5]
    for row in (0, 1500, 2047, 2048, 2099):
        assert set(nearest[row]) <= set(graph[[row]].indices)
        np.testing.assert_allclose(
            graph[[row]].toarray()[0, nearest[row]], cosines[row, nearest[row]], atol=1e-6
        )


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(1, 80), st.integers(0, 999), st.booleans())
def test_it_is_symmetric_without_loops_and_in_range(count, neighbors, seed, duplicates) -> None:
    unit = points(count, seed=seed)
    if duplicates:
        unit = unit[np.random.default_rng(seed).integers(0, count, count)]
    graph = knn_graph(unit, neighbors)
    assert graph.shape == (count, count)
    assert abs(graph - graph.T).sum() == 0
    assert not graph.diagonal().any()
    assert graph.nnz == 0 or 0 < graph.data.min() <= graph.data.max() <= 1 + 1e-6
    assert np.diff(graph.indptr).max() <= count - 1


def test_all_points_equal() -> None:
    unit = np.tile(points(1), (7, 1))
    graph = knn_graph(unit, 3)
    assert (np.diff(graph.indptr) >= 3).all()
    np.testing.assert_allclose(graph.data, 1, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_points_than_neighbours(count) -> None:
    graph = knn_graph(np.tile(points(1), (count, 1)), 10)
    np.testing.assert_allclose(graph.toarray(), 1 - np.eye(count), atol=1e-6)


def test_opposites_are_no_neighbours() -> None:
    one = points(1)
    assert knn_graph(np.concatenate([one, -one]), 1).nnz == 0


def test_centring_takes_away_what_all_share() -> None:
    features = points(50) + np.float32(10)
    unit = centred(features, features.mean(axis=0))
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-5)
    shifted = points(50) - points(50).mean(axis=0)
    np.testing.assert_allclose(
        unit, shifted / np.linalg.norm(shifted, axis=1, keepdims=True), atol=1e-4
    )
    assert not centred(features[:1], features[0]).any(), "a point at the centre stays zero"
