"""The spectrum against a dense solver, and against graphs whose spectrum is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import raypipe.cluster.spectrum as module
from raypipe.cluster.affinity import knn_graph, nearest
from raypipe.cluster.spectrum import Spectrum, spectrum
from tests.cluster.graphs import apart, block, chained, normalised, path, star, top_values

LIMIT = module._DENSE


def check(graph: sparse.csr_array, count: int = 9) -> Spectrum:
    """Compare with a dense solver; the vectors are held to what eigenvectors are."""
    found = spectrum(graph, count, seed=0)
    matrix = normalised(graph)
    np.testing.assert_allclose(found.values, top_values(matrix, count), atol=1e-6)
    check_vectors(found, matrix, min(count, len(matrix)))
    return found


def check_vectors(found: Spectrum, matrix: np.ndarray | sparse.csr_array, count: int) -> None:
    assert found.values.shape == (count,)
    assert found.vectors.shape == (matrix.shape[0], count)
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(count), atol=1e-8)
    residuals = np.linalg.norm(matrix @ found.vectors - found.vectors * found.values, axis=0)
    assert found.residual == pytest.approx(residuals.max(), abs=1e-12)
    assert found.residual < 2e-6
    assert (np.diff(found.values) <= 1e-12).all()


def cloud(size: int, blobs: int = 1, seed: int = 0) -> sparse.csr_array:
    """Return the graph of points around a few directions, in the order of a shuffled deck."""
    generator = np.random.default_rng(seed)
    rows = np.eye(blobs, 16)[generator.integers(0, blobs, size)]
    rows = rows + generator.normal(size=(size, 16)) / 6
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return knn_graph(nearest(unit, 10))


# -- against a dense solver -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 3, 5, 9, 10, 40, 400, LIMIT, LIMIT + 1, 1500])
def test_neighbours_of_a_cloud(size) -> None:
    found = check(cloud(size))
    assert found.solver == ("dense" if size <= LIMIT else "filtered")


def test_a_graph_of_3000_points() -> None:
    assert check(cloud(3000, 6)).solver == "filtered"


@pytest.mark.parametrize("sizes", [[900, 850], [60, 1000, 3], [40] * 40])
def test_components(sizes) -> None:
    found = check(apart([block(size, seed) for seed, size in enumerate(sizes)]), len(sizes) + 4)
    assert found.components == found.ones == len(sizes)
    assert np.bincount(found.component).tolist() == sorted(sizes, reverse=True)


def test_equal_components_have_every_eigenvalue_as_often() -> None:
    found = check(apart([block(850)] * 2), 9)
    np.testing.assert_allclose(found.values[2:8:2], found.values[3:9:2], atol=1e-9)
    assert (np.diff(found.values[2:9:2]) < -1e-4).all()


@pytest.mark.parametrize("weight", [1e-3, 1e-4, 1e-5, 1e-6, 1e-7])
def test_equal_blocks_that_are_barely_joined(weight) -> None:
    """Nearly five copies of one eigenvalue, as distinct clusters give them."""
    found = check(chained([block(200)] * 5, weight))
    assert found.components == 1
    assert found.values[4] > 1 - weight
    assert found.values[5] < 0.9


def test_more_copies_than_are_wanted() -> None:
    """The block solver has 16 vectors for 40 eigenvalues that are nearly the same."""
    found = check(chained([block(40)] * 40, 1e-4))
    assert found.values[8] > 1 - 1e-4


# -- graphs whose spectrum is known ---------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 10, 300, 1600, 3000])
def test_a_path_has_cosines(size) -> None:
    """The hardest case: at 3,000 points the first eigenvalues differ by 1e-6."""
    found = spectrum(path(size), 9, seed=0)
    count = min(9, size)
    np.testing.assert_allclose(
        found.values, np.cos(np.pi * np.arange(count) / (size - 1)), rtol=0, atol=5e-8
    )
    check_vectors(found, sparse.csr_array(normalised(path(size))), count)
    assert found.components == found.ones == 1


@pytest.mark.parametrize("size", [2, 30, 3000])
def test_a_star(size) -> None:
    found = spectrum(star(size), 9, seed=0)
    expected = np.array([1.0, -1.0]) if size == 2 else np.eye(1, min(9, size))[0]
    np.testing.assert_allclose(found.values, expected, atol=1e-9)
    check_vectors(found, sparse.csr_array(normalised(star(size))), min(9, size))


@pytest.mark.parametrize("size", [30, 1600])
def test_a_complete_graph(size) -> None:
    found = check(sparse.csr_array(np.ones((size, size)) - np.eye(size)), 3)
    np.testing.assert_allclose(found.values, [1, -1 / (size - 1), -1 / (size - 1)], atol=1e-9)


def test_points_that_are_all_equal() -> None:
    unit = np.tile(np.eye(1, 8, dtype=np.float32), (1000, 1))
    found = check(knn_graph(nearest(unit, 10)))
    assert found.ones == min(found.components, 9)


@pytest.mark.parametrize("count", [1, 4, 9])
def test_points_without_edges_are_components(count) -> None:
    found = spectrum(sparse.csr_array((count, count), dtype=np.float64), 5, seed=0)
    np.testing.assert_array_equal(found.values, np.ones(min(5, count)))
    assert found.components == count
    assert found.residual == 0
    assert found.solver == "known"


def test_one_faint_edge_makes_a_component() -> None:
    dense = np.zeros((6, 6))
    dense[0, 1] = dense[1, 0] = 0.5
    dense[2, 3] = dense[3, 2] = 1e-9
    found = check(sparse.csr_array(dense), 6)
    np.testing.assert_allclose(found.values, [1, 1, 1, 1, -1, -1], atol=1e-9)
    assert found.component.tolist() == [0, 0, 1, 1, 2, 3]


def test_the_largest_components_come_first_where_not_all_are_wanted() -> None:
    found = spectrum(apart([path(3), path(7), path(2), path(5)]), 2, seed=0)
    assert found.components == 4
    assert np.flatnonzero(found.vectors[:, 0]).tolist() == list(range(3, 10))
    assert np.flatnonzero(found.vectors[:, 1]).tolist() == list(range(12, 17))


# -- graphs drawn at random -----------------------------------------------------------------------


@st.composite
def graphs(draw) -> sparse.csr_array:
    """Draw a graph of some components, with weights over five magnitudes."""
    size = draw(st.integers(1, 80))
    components = draw(st.integers(1, max(1, size // 3)) | st.just(1))
    density = draw(st.sampled_from([0.02, 0.1, 0.5]))
    magnitudes = draw(st.integers(0, 5))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    own = generator.integers(0, components, size)
    weights = 10 ** -generator.uniform(0, magnitudes or 1e-9, size=(size, size))
    kept = (generator.random((size, size)) < density) & (own[:, None] == own)
    # A tree inside each component makes most of it hang together.
    for at in range(1, size):
        before = np.flatnonzero(own[:at] == own[at])
        if len(before):
            kept[at, generator.choice(before)] = True
    upper = np.triu(np.where(kept | kept.T, weights, 0), 1)
    return sparse.csr_array(upper + upper.T)


@pytest.fixture
def blocks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Solve by the filtered block whatever is larger than a few blocks."""
    monkeypatch.setattr(module, "_DENSE", 0)


@settings(max_examples=150, deadline=None)
@given(graphs(), st.integers(1, 12))
def test_any_graph(graph, count) -> None:
    found = check(graph, count)
    assert found.ones == min(found.components, len(found.values))


@pytest.mark.usefixtures("blocks_only")
def test_any_graph_by_the_block_solver() -> None:
    solvers = set()

    @settings(max_examples=150, deadline=None)
    @given(graphs(), st.integers(1, 7))
    def solve(graph: sparse.csr_array, count: int) -> None:
        found = check(graph, count)
        assert found.ones == min(found.components, len(found.values))
        solvers.add(found.solver)

    solve()
    assert "filtered" in solvers


# -- ways out -------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Exited:UserWarning")  # LOBPCG, a hair from the tolerance
@pytest.mark.parametrize("graph", [path(900), cloud(1000), chained([block(300)] * 3, 1e-4)])
@pytest.mark.parametrize("solver", ["dense", "lobpcg"])
def test_a_filter_that_fails_is_replaced(graph, solver, monkeypatch) -> None:
    monkeypatch.setattr(module, "_ROUNDS", 1)
    monkeypatch.setattr(module, "_AMPLIFIED", 1.0)
    if solver == "lobpcg":
        monkeypatch.setattr(module, "_DENSE_RETRY", LIMIT)
    assert check(graph).solver == solver


def test_a_second_copy_of_the_known_eigenvalue_is_not_believed(monkeypatch) -> None:
    """A connected graph has the eigenvalue 1 once: a filter that finds two is wrong."""
    graph = cloud(1000)

    def twice(matrix, known, wanted, seed) -> module._Pairs:
        vectors = np.linalg.qr(np.ones((len(known), wanted)) * known[:, None])[0]
        return module._Pairs(np.ones(wanted), vectors, "filtered")

    monkeypatch.setattr(module, "_filtered", twice)
    found = check(graph)
    assert found.solver == "dense"
    assert found.ones == 1


def test_the_seed_decides_alone() -> None:
    graph = cloud(1600)
    one, two = (spectrum(graph, 5, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.vectors, two.vectors)
    other = spectrum(graph, 5, seed=4)
    np.testing.assert_allclose(other.values, one.values, atol=1e-9)
