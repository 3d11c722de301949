"""Neighbours and their graph against brute force, whichever way they are searched."""

from __future__ import annotations

from collections.abc import Iterator

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import raypipe.cluster.affinity as module
from raypipe.cluster.affinity import Neighbors, centred, knn_graph, nearest


def points(count: int, size: int = 8, seed: int = 0, blobs: int = 0) -> np.ndarray:
    """Return rows of length 1, around so many directions."""
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(count, size))
    if blobs:
        features += 2 * generator.normal(size=(blobs, size))[generator.integers(0, blobs, count)]
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


def brute_similarity(unit: np.ndarray, neighbors: int) -> np.ndarray:
    """Return the cosines of the nearest others, the nearest first."""
    cosines = unit.astype(np.float64) @ unit.T.astype(np.float64)
    np.fill_diagonal(cosines, -np.inf)
    return -np.sort(-cosines, axis=1)[:, : min(neighbors, len(unit) - 1)]


def brute_graph(unit: np.ndarray, neighbors: int) -> np.ndarray:
    """Return the dense graph, point by point."""
    count = len(unit)
    graph = np.zeros((count, count))
    for row in range(count):
        cosines = {col: float(unit[row] @ unit[col]) for col in range(count) if col != row}
        for col in sorted(cosines, key=lambda name: -cosines[name])[:neighbors]:
            if cosines[col] > 0:
                graph[row, col] = graph[col, row] = cosines[col]
    return graph


def check(found: Neighbors, unit: np.ndarray, neighbors: int) -> None:
    """Hold exact neighbours to brute force; equal points may stand for each other."""
    count, k = len(unit), min(neighbors, len(unit) - 1)
    assert found.indices.shape == found.similarity.shape == (count, max(k, 0))
    assert found.indices.dtype == np.int64
    np.testing.assert_allclose(found.similarity, brute_similarity(unit, neighbors), atol=1e-5)
    for row, (near, cosines) in enumerate(zip(found.indices, found.similarity, strict=True)):
        assert row not in near
        assert len(set(near.tolist())) == k
        np.testing.assert_allclose(unit[near] @ unit[row], cosines, atol=1e-5)


# -- exact search ---------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(1, 80), st.integers(0, 999))
def test_they_are_those_of_brute_force(count, neighbors, seed) -> None:
    unit = points(count, seed=seed)
    found = nearest(unit, neighbors)
    check(found, unit, neighbors)
    assert found.recall == 1.0


def test_they_are_those_of_brute_force_at_some_size() -> None:
    unit = points(3000, 16, blobs=5)
    check(nearest(unit, 10), unit, 10)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 60), st.integers(1, 12), st.integers(1, 4), st.integers(0, 999))
def test_copies_crowd_a_point_out_of_its_own_neighbours(count, neighbors, kinds, seed) -> None:
    """With more equal points than neighbours, a search need not find the point itself."""
    copies = np.random.default_rng(seed).integers(0, kinds, count)
    unit = points(kinds, seed=seed)[copies]
    check(nearest(unit, neighbors), unit, neighbors)


def test_zero_rows_are_near_to_nothing() -> None:
    unit = points(30)
    unit[[4, 17, 29]] = 0
    found = nearest(unit, 5)
    check(found, unit, 5)
    assert not found.similarity[[4, 17, 29]].any()
    graph = knn_graph(found)
    assert graph[[4, 17, 29]].nnz == 0
    assert graph.nnz > 0


# -- search by cells ------------------------------------------------------------------------------


@pytest.fixture
def by_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search a few thousand points as if they were many."""
    monkeypatch.setattr(module, "EXACT_UP_TO", 1000)
    monkeypatch.setattr(module, "_PROBES", 2)


def true_share(found: Neighbors, unit: np.ndarray) -> float:
    """Return the share of the true neighbours that was found, over all points."""
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    k = found.indices.shape[1]
    truth = np.argpartition(-cosines, k, axis=1)[:, :k]
    pairs = zip(truth, found.indices, strict=True)
    return float(np.mean([np.isin(own, near).mean() for own, near in pairs]))


@pytest.mark.usefixtures("by_cells")
@pytest.mark.parametrize(("size", "blobs", "seed"), [(5, 0, 0), (16, 40, 1), (64, 100, 2)])
def test_the_share_that_is_reported_is_true(size, blobs, seed) -> None:
    unit = points(4000, size, seed, blobs)
    found = nearest(unit, 10)
    share = true_share(found, unit)
    assert 0.98 <= found.recall < 1.0
    # Of a sample of 1,000 points: its standard error is well below 0.3 %.
    assert share == pytest.approx(found.recall, abs=0.004)
    for row in range(0, 4000, 37):
        assert row not in found.indices[row]
        np.testing.assert_allclose(
            unit[found.indices[row]] @ unit[row], found.similarity[row], atol=1e-5
        )
    assert found.indices.min() >= 0


@pytest.mark.usefixtures("by_cells")
def test_where_cells_say_nothing_all_are_searched() -> None:
    """In 256 dimensions without structure the neighbours of a point lie anywhere."""
    unit = points(3000, 256)
    found = nearest(unit, 10)
    assert found.recall == 1.0
    check(found, unit, 10)


def test_cells_that_hold_fewer_points_than_are_wanted(monkeypatch) -> None:
    """Among many copies, most cells are empty, and those near a rare point hold few."""
    monkeypatch.setattr(module, "EXACT_UP_TO", 1000)
    common = np.repeat(points(10, 16, seed=1), 1990, axis=0)
    unit = np.concatenate([common, np.repeat(points(50, 16, seed=10), 4, axis=0)])
    found = nearest(unit, 20)
    assert found.recall < 1.0, "not by exact search of all"
    assert found.indices.min() >= 0
    cosines = np.einsum("nkd,nd->nk", unit[found.indices], unit)
    np.testing.assert_allclose(cosines, found.similarity, atol=1e-5)


@pytest.fixture
def threads() -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    yield
    faiss.omp_set_num_threads(before)


@pytest.mark.usefixtures("threads", "by_cells")
@pytest.mark.parametrize(("count", "size"), [(1000, 16), (5000, 16), (3000, 256)])
def test_threads_change_nothing(count, size) -> None:
    """By exact search, by cells, and by exact search after cells were no use."""
    unit = points(count, size, blobs=20 if size == 16 else 0)
    results = []
    for number in (1, 2):
        faiss.omp_set_num_threads(number)
        results.append(nearest(unit, 10))
    one, two = results
    np.testing.assert_array_equal(one.indices, two.indices)
    # BLAS sums blocks of another shape in another order.
    np.testing.assert_allclose(one.similarity, two.similarity, atol=1e-6)
    assert one.recall == two.recall


# -- the graph ------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 999))
def test_the_graph_is_that_of_brute_force(count, neighbors, seed) -> None:
    unit = points(count, seed=seed)
    graph = knn_graph(nearest(unit, neighbors))
    np.testing.assert_allclose(graph.toarray(), brute_graph(unit, neighbors), atol=1e-6)
    assert graph.dtype == np.float64


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(1, 80), st.integers(0, 999), st.booleans())
def test_the_graph_is_symmetric_without_loops_and_in_range(count, neighbors, seed, copies) -> None:
    unit = points(count, seed=seed)
    if copies:
        unit = unit[np.random.default_rng(seed).integers(0, count, count)]
    graph = knn_graph(nearest(unit, neighbors))
    assert graph.shape == (count, count)
    assert abs(graph - graph.T).sum() == 0
    assert not graph.diagonal().any()
    assert graph.nnz == 0 or 0 < graph.data.min() <= graph.data.max() <= 1


def test_points_that_are_all_equal() -> None:
    graph = knn_graph(nearest(np.tile(points(1), (7, 1)), 3))
    assert (np.diff(graph.indptr) >= 3).all()
    np.testing.assert_allclose(graph.data, 1, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_points_than_neighbours(count) -> None:
    graph = knn_graph(nearest(np.tile(points(1), (count, 1)), 10))
    np.testing.assert_allclose(graph.toarray(), 1 - np.eye(count), atol=1e-6)


def test_opposites_are_no_neighbours() -> None:
    one = points(1)
    assert knn_graph(nearest(np.concatenate([one, -one]), 1)).nnz == 0


# -- centring -------------------------------------------------------------------------------------


def test_centring_takes_away_what_all_share() -> None:
    features = points(50) + np.float32(10)
    unit = centred(features, features.mean(axis=0))
    assert unit.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-5)
    shifted = points(50) - points(50).mean(axis=0)
    np.testing.assert_allclose(
        unit, shifted / np.linalg.norm(shifted, axis=1, keepdims=True), atol=1e-4
    )


def test_what_rounding_leaves_of_equal_features_is_no_direction() -> None:
    features = np.tile(points(1, 512), (1000, 1))
    assert not centred(features, features.mean(axis=0)).any()
    nearly = features + np.float32(1e-8)
    assert not centred(nearly, features[0]).any()
