"""Numbered clusters and their fingerprints."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.cluster.assign import (
    _absorb,
    _numbered,
    _partition,
    _typicality,
    cluster,
    membership_fingerprint,
)
from raypipe.config import ClusterConfig


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def blobs(*sizes: int, spread: float = 0.15) -> np.ndarray:
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(len(sizes), 12))
    rows = [centre + spread * generator.normal(size=(size, 12))
            for centre, size in zip(centres, sizes, strict=True)]  # fmt: skip
    return unit(np.concatenate(rows))


# -- the whole ------------------------------------------------------------------------------------


def test_well_separated_clusters_are_found() -> None:
    found = cluster(blobs(60, 90, 40), ClusterConfig(neighbors=10))
    truth = np.repeat([2, 1, 3], [60, 90, 40])
    np.testing.assert_array_equal(found.clusters, truth)
    assert found.clusters.dtype == np.int32
    assert found.typicality.min() > 0.5


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_handful_of_regions(count) -> None:
    found = cluster(blobs(count), ClusterConfig())
    assert sorted(set(found.clusters)) == list(range(1, found.clusters.max() + 1))
    assert len(found.typicality) == count
    assert np.isfinite(found.typicality).all()


def test_equal_regions_are_clustered_without_complaint() -> None:
    found = cluster(np.tile(blobs(1), (30, 1)), ClusterConfig())
    assert len(found.clusters) == 30
    assert np.isfinite(found.typicality).all()
    assert np.isfinite(found.spectrum.values).all()


def test_the_same_regions_give_the_same_clusters() -> None:
    features = blobs(50, 50, spread=0.6)
    one, two = (cluster(features, ClusterConfig()) for _ in range(2))
    np.testing.assert_array_equal(one.clusters, two.clusters)
    np.testing.assert_array_equal(one.typicality, two.typicality)


def test_half_precision_features_do_as_well() -> None:
    exact = blobs(60, 90)
    found = cluster(exact.astype(np.float16).astype(np.float32), ClusterConfig(neighbors=10))
    np.testing.assert_array_equal(found.clusters, np.repeat([2, 1], [60, 90]))


# -- its parts ------------------------------------------------------------------------------------


def test_partition_ignores_the_length_of_rows() -> None:
    vectors = np.concatenate([np.outer(np.linspace(0.1, 5, 20), [1.0, 0.1]),
                              np.outer(np.linspace(0.1, 5, 20), [0.1, -1.0])])  # fmt: skip
    labels = _partition(vectors, 2, seed=0)
    assert len(set(labels[:20])) == len(set(labels[20:])) == 1
    assert labels[0] != labels[-1]
    assert not _partition(vectors, 1, seed=0).any()


def test_small_clusters_join_the_nearest_large_one() -> None:
    rows = unit([[1, 0], [1, 0.1], [1, -0.1], [0, 1], [0.1, 1], [-0.1, 1], [1, 0.6], [0.5, 1]])
    labels = np.array([0, 0, 0, 2, 2, 2, 1, 3], np.int32)
    np.testing.assert_array_equal(_absorb(rows, labels, 0.2), [0, 0, 0, 2, 2, 2, 0, 2])
    np.testing.assert_array_equal(_absorb(rows, labels, 0.1), labels)
    np.testing.assert_array_equal(_absorb(rows, labels, 0.0), labels)


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
    np.testing.assert_allclose(_typicality(rows, clusters), [half, half, 1, 1, 0], atol=1e-6)


# -- fingerprints ---------------------------------------------------------------------------------

REGIONS = [("a", 0, 0), ("a", 0, 1), ("b", 3, 2), ("c", 1, 1)]
CLUSTERS = np.array([1, 2, 1, 2], np.int32)


@given(st.permutations(range(4)))
def test_the_fingerprint_does_not_depend_on_the_order_of_rows(order) -> None:
    shuffled = membership_fingerprint([REGIONS[at] for at in order], CLUSTERS[list(order)])
    assert shuffled == membership_fingerprint(REGIONS, CLUSTERS)
    assert len(shuffled) == 12


def test_the_fingerprint_follows_who_stands_with_whom() -> None:
    first = membership_fingerprint(REGIONS, CLUSTERS)
    others = [
        membership_fingerprint(REGIONS, np.array([1, 1, 2, 2], np.int32)),
        membership_fingerprint(REGIONS, np.array([2, 1, 2, 1], np.int32)),
        membership_fingerprint(REGIONS[:3], CLUSTERS[:3]),
        membership_fingerprint([*REGIONS[:3], ("c", 11, 1)], CLUSTERS),
    ]
    assert len({first, *others}) == 5
