"""Numbered clusters of features, from the ordinary to the odd."""

from __future__ import annotations

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from raypipe.cluster.affinity import nearest
from raypipe.cluster.assign import (
    _absorb,
    _core,
    _numbered,
    _partition,
    cluster,
    membership,
    remoteness,
    typicality,
)
from raypipe.config import ClusterConfig
from raypipe.errors import InputError
from tests.cluster.graphs import apart, block
from tests.cluster.planted import plant

CONFIG = ClusterConfig()


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def blobs(*sizes: int, spread: float = 0.15, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centres = np.linalg.qr(generator.normal(size=(12, 12)))[0]
    rows = [centre + spread * generator.normal(size=(size, 12))
            for centre, size in zip(centres, sizes, strict=False)]  # fmt: skip
    return unit(np.concatenate(rows))


def check(found, count: int) -> None:
    """Hold the clusters to what always is so: numbers from 1 by size, and finite figures."""
    assert found.clusters.shape == found.typicality.shape == (count,)
    assert found.clusters.dtype == np.int32
    sizes = np.bincount(found.clusters)
    assert sizes[0] == 0
    assert (sizes[1:] > 0).all()
    assert (np.diff(sizes[1:]) <= 0).all()
    assert np.isfinite(found.typicality).all()
    assert np.isfinite(found.spectrum.values).all()
    assert np.abs(found.typicality).max() <= 1 + 1e-5


# -- the whole ------------------------------------------------------------------------------------


def test_well_separated_clusters_are_found() -> None:
    found = cluster(blobs(60, 90, 40), CONFIG)
    check(found, 190)
    np.testing.assert_array_equal(found.clusters, np.repeat([2, 1, 3], [60, 90, 40]))
    assert found.number.clusters == 3
    assert found.typicality.min() > 0.4
    assert found.recall == 1.0


def test_half_precision_features_do_as_well() -> None:
    features = blobs(60, 90).astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(cluster(features, CONFIG).clusters, np.repeat([2, 1], [60, 90]))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [1, 2, 3, 5, 20, 21])
def test_fewer_regions_than_neighbours(count) -> None:
    found = cluster(blobs(count), CONFIG)
    check(found, count)
    if count == 1:
        assert found.clusters.tolist() == [1]
        assert found.spectrum.values.tolist() == [1.0]


def test_regions_that_are_all_equal_are_one_cluster() -> None:
    """Copies of one image: there is no direction to tell them by."""
    for count in (2, 30, 1000):
        found = cluster(np.tile(blobs(1), (count, 1)), CONFIG)
        check(found, count)
        assert (found.clusters == 1).all()


def test_copies_of_a_few_images_are_told_apart() -> None:
    features = np.repeat(unit(np.eye(3, 12)), [60, 40, 30], axis=0)
    found = cluster(features, CONFIG)
    check(found, 130)
    np.testing.assert_array_equal(found.clusters, np.repeat([1, 2, 3], [60, 40, 30]))


def test_zero_features_join_a_cluster() -> None:
    features = blobs(60, 90)
    features[[5, 100]] = 0
    found = cluster(features, CONFIG)
    check(found, 150)
    others = np.delete(np.arange(150), [5, 100])
    np.testing.assert_array_equal(found.clusters[others], np.repeat([2, 1], [59, 89]))
    everything = cluster(np.zeros((25, 12), np.float32), CONFIG)
    check(everything, 25)
    assert (everything.clusters == 1).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_counted(value) -> None:
    features = blobs(600, 600)
    features[::100, 3] = value
    features[0] = value
    with pytest.raises(InputError, match=r"12 of 1,200 regions") as caught:
        cluster(features, CONFIG)
    assert "float32" in caught.value.remedy


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_number_can_be_given(count) -> None:
    found = cluster(blobs(60, 90, 40), CONFIG, clusters=count)
    check(found, 190)
    assert found.clusters.max() == count
    assert (found.number.clusters, found.number.reason) == (count, "given")


def test_a_given_number_is_at_most_that_of_the_regions() -> None:
    found = cluster(blobs(3), CONFIG, clusters=7)
    check(found, 3)
    assert found.number.clusters <= 3


# -- what is no cluster ---------------------------------------------------------------------------


def test_outliers_join_the_nearest_cluster() -> None:
    generator = np.random.default_rng(3)
    features = np.concatenate([blobs(100, 80), unit(generator.normal(size=(3, 12)))])
    found = cluster(features, CONFIG)
    check(found, 183)
    np.testing.assert_array_equal(found.clusters[:180], np.repeat([1, 2], [100, 80]))
    means = np.stack([found.unit[:100].mean(axis=0), found.unit[100:180].mean(axis=0)])
    cosines = found.unit[180:] @ unit(means).T
    np.testing.assert_array_equal(found.clusters[180:], 1 + cosines.argmax(axis=1))


def test_a_tiny_component_joins_the_nearest_cluster_and_takes_no_eigenvalue() -> None:
    """Three copies of a picture hang together with nothing else."""
    centres = np.eye(4, 12)
    features = blobs(400, 300, spread=0.05)
    odd = unit(features[:1] + 3 * centres[3:] + 0.2 * features[-1:])
    every = np.concatenate([features, np.repeat(odd, 25, axis=0)[:9]])
    found = cluster(every, CONFIG)
    check(found, 709)
    assert found.clusters.max() == 2
    assert len(set(found.clusters[700:].tolist())) == 1
    means = np.stack([found.unit[:400].mean(axis=0), found.unit[400:700].mean(axis=0)])
    assert found.clusters[700] == 1 + (unit(means) @ found.unit[700]).argmax()


def test_the_core_is_what_hangs_together_and_is_no_outlier() -> None:
    graph = apart([block(100, 0), block(60, 1), block(3, 2)])
    remote = np.full(163, 1.0, np.float32)
    remote[::2] = 0.9  # so that quartiles differ
    remote[7] = 5.0
    expected = [at for at in range(160) if at != 7]
    assert _core(graph, remote, 8, 0.02).tolist() == expected
    assert _core(graph, remote, 1, 0.02).tolist() == expected[:99], "at most one component"
    assert 160 in _core(graph, remote, 8, 0.01)


def test_remoteness_compares_a_point_with_its_neighbours() -> None:
    """A loose cluster is as near as a dense one; a point beside either is remote."""
    dense, loose = blobs(100, spread=0.02), blobs(100, spread=0.2)
    for own in (dense, loose):
        assert np.quantile(remoteness(nearest(own, 10)), 0.99) < 3
    odd = np.concatenate([dense, unit(dense[:1] + 0.3 * np.eye(1, 12, 5, dtype=np.float32))])
    assert remoteness(nearest(odd, 10)).argmax() == 100
    assert remoteness(nearest(odd, 10))[100] > 10
    assert remoteness(nearest(np.tile(dense[:1], (50, 1)), 10)).tolist() == pytest.approx(
        [1.0] * 50
    )
    assert remoteness(nearest(dense[:1], 10)).tolist() == [1.0]


def test_where_no_component_is_large_there_is_no_core() -> None:
    graph = sparse.csr_array((40, 40), dtype=np.float64)
    assert len(_core(graph, np.zeros(40, np.float32), 8, 0.02)) == 0


# -- what changes nothing -------------------------------------------------------------------------

HARD = plant(np.random.default_rng(7), [3, 2, 1], 600, apart=5.0, outliers=0.02).features


def test_the_same_regions_give_the_same_clusters() -> None:
    one, two = (cluster(HARD, CONFIG) for _ in range(2))
    np.testing.assert_array_equal(one.clusters, two.clusters)
    np.testing.assert_array_equal(one.typicality, two.typicality)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_regions_changes_no_cluster(seed) -> None:
    order = np.random.default_rng(seed).permutation(len(HARD))
    straight, shuffled = cluster(HARD, CONFIG), cluster(HARD[order], CONFIG)
    assert adjusted_rand_score(straight.clusters[order], shuffled.clusters) == 1.0


@pytest.mark.parametrize("features", [HARD, blobs(500, 450, spread=0.5)], ids=["small", "large"])
def test_threads_change_no_cluster(features) -> None:
    results = []
    before = faiss.omp_get_max_threads()
    for number in (1, 2):
        with threadpool_limits(number):
            faiss.omp_set_num_threads(number)
            results.append(cluster(features, CONFIG))
    faiss.omp_set_num_threads(before)
    np.testing.assert_array_equal(results[0].clusters, results[1].clusters)
    np.testing.assert_allclose(results[0].typicality, results[1].typicality, atol=1e-6)


# -- its parts ------------------------------------------------------------------------------------


def test_partition_finds_blocks_whatever_basis_their_vectors_are_in() -> None:
    truth = np.repeat([0, 1, 2], [50, 30, 4])
    blocks = np.eye(3)[truth] / np.sqrt(np.bincount(truth))[None, :]
    generator = np.random.default_rng(0)
    turned = blocks @ np.linalg.qr(generator.normal(size=(3, 3)))[0]
    labels = _partition(turned + 0.01 * generator.normal(size=turned.shape), 3)
    assert adjusted_rand_score(truth, labels) == 1.0
    assert labels.dtype == np.int32
    assert not _partition(turned[:, :1], 1).any()


def test_small_clusters_join_the_nearest_large_one() -> None:
    rows = unit([[1, 0], [1, 0.1], [1, -0.1], [0, 1], [0.1, 1], [-0.1, 1], [1, 0.6], [0.5, 1]])
    labels = np.array([0, 0, 0, 2, 2, 2, 1, 3], np.int32)
    np.testing.assert_array_equal(_absorb(rows, labels, 0.2), [0, 0, 0, 2, 2, 2, 0, 2])
    np.testing.assert_array_equal(_absorb(rows, labels, 0.1), labels)
    np.testing.assert_array_equal(_absorb(rows, labels, 0.0), labels)
    isolated = np.array([0, 0, 0, 2, 2, 2, -1, -1], np.int32)
    np.testing.assert_array_equal(_absorb(rows, isolated, 0.0), [0, 0, 0, 2, 2, 2, 0, 2])


def test_the_largest_cluster_is_never_too_small() -> None:
    rows = unit([[1, 0], [1, 0.1], [0, 1]])
    np.testing.assert_array_equal(_absorb(rows, np.array([0, 0, 1], np.int32), 0.9), [0, 0, 0])
    halves = np.array([0, 0, 1, 1], np.int32)
    found = _absorb(unit([[1, 0], [1, 0.1], [0, 1], [0.1, 1]]), halves, 0.9)
    np.testing.assert_array_equal(found, halves)


def test_numbers_go_by_size_and_then_by_the_first_region() -> None:
    labels = np.array([5, 2, 2, 9, 7, 9, 7, 2], np.int32)
    np.testing.assert_array_equal(_numbered(labels), [4, 1, 1, 2, 3, 2, 3, 1])


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.permutations(range(7)))
def test_numbers_do_not_depend_on_the_names_of_labels(labels, names) -> None:
    first = _numbered(np.array(labels, np.int32))
    renamed = _numbered(np.array([names[label] for label in labels], np.int32))
    np.testing.assert_array_equal(first, renamed)
    sizes = np.bincount(first)[1:]
    assert (sizes > 0).all()
    assert (np.diff(sizes) <= 0).all()


def test_typicality_is_the_cosine_to_the_mean_of_the_cluster() -> None:
    rows = unit([[1, 0], [0, 1], [1, 1], [-1, 0], [0, 0]])
    clusters = np.array([1, 1, 1, 2, 2], np.int32)
    half = np.sqrt(0.5)
    np.testing.assert_allclose(typicality(rows, clusters), [half, half, 1, 1, 0], atol=1e-6)


# -- membership -----------------------------------------------------------------------------------

REGIONS = [("a", 0, 0), ("a", 0, 1), ("b", 3, 2), ("c", 1, 1)]


@given(st.permutations(REGIONS))
def test_membership_does_not_depend_on_the_order_of_rows(regions) -> None:
    assert membership(regions) == membership(REGIONS)
    assert len(membership(regions)) == 12


def test_membership_follows_which_regions_there_are() -> None:
    others = [REGIONS[:3], REGIONS[1:], [*REGIONS[:3], ("c", 11, 1)], [*REGIONS, ("c", 1, 2)]]
    assert len({membership(regions) for regions in [REGIONS, *others]}) == 5
