"""Splitting one cluster, with all others left as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from raypipe.cluster.assign import Clustering, cluster, typicality
from raypipe.cluster.split import split
from raypipe.config import ClusterConfig
from raypipe.errors import ConfigError
from tests.cluster.planted import plant

CONFIG = ClusterConfig()
TRUTH = np.repeat([0, 1, 2, 3], [120, 90, 80, 60])


@pytest.fixture(scope="module")
def two() -> Clustering:
    """Four kinds in two clusters: cluster 1 holds three kinds, cluster 2 the last one."""
    generator = np.random.default_rng(0)
    features = np.eye(4, 16)[TRUTH] + 0.12 * generator.normal(size=(350, 16))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    found = cluster(features.astype(np.float32), CONFIG)
    clusters = np.where(TRUTH < 3, 1, 2).astype(np.int32)
    return replace(found, clusters=clusters, typicality=typicality(found.unit, clusters))


def test_only_the_cluster_that_is_split_changes(two) -> None:
    after = split(two, 1, CONFIG)
    others = two.clusters != 1
    np.testing.assert_array_equal(after.clusters[others], two.clusters[others])
    np.testing.assert_array_equal(after.typicality[others], two.typicality[others])
    assert after.spectrum is two.spectrum


def test_it_is_split_into_what_it_is_made_of(two) -> None:
    after = split(two, 1, CONFIG)
    own = two.clusters == 1
    assert adjusted_rand_score(TRUTH[own], after.clusters[own]) == 1.0
    # The largest part keeps the number, the next ones come after the last number.
    expected = np.array([1, 3, 4, 2], np.int32)[TRUTH]
    np.testing.assert_array_equal(after.clusters, expected)
    assert after.clusters.dtype == np.int32


def test_typicality_is_that_in_the_new_clusters(two) -> None:
    after = split(two, 1, CONFIG)
    np.testing.assert_array_equal(after.typicality, typicality(two.unit, after.clusters))
    assert after.typicality[TRUTH == 2].mean() > two.typicality[TRUTH == 2].mean() + 0.01


def test_what_has_no_structure_is_halved_all_the_same() -> None:
    features = plant(np.random.default_rng(0), [1], 200, apart=0.0).features
    one = cluster(features, CONFIG)
    assert one.clusters.max() == 1
    after = split(one, 1, CONFIG)
    assert np.bincount(after.clusters)[1:].min() > 0
    assert after.clusters.max() == 2


def test_a_part_can_be_split_again(two) -> None:
    first = split(two, 1, CONFIG)
    again = split(first, 3, CONFIG)
    assert set(again.clusters[first.clusters == 3].tolist()) == {3, 5}
    others = first.clusters != 3
    np.testing.assert_array_equal(again.clusters[others], first.clusters[others])


def test_two_regions_are_split_in_two() -> None:
    features = np.eye(3, dtype=np.float32)
    found = cluster(features, CONFIG, clusters=1)
    pair = replace(found, clusters=np.array([1, 1, 2], np.int32))
    after = split(pair, 1, CONFIG)
    assert after.clusters.tolist() == [1, 3, 2]
    with pytest.raises(ConfigError, match="no cluster 2 that could be split"):
        split(pair, 2, CONFIG)


@pytest.mark.parametrize("number", [0, 3, 7])
def test_a_cluster_that_is_not_there_is_refused(two, number) -> None:
    with pytest.raises(ConfigError, match=f"no cluster {number} .* 2 clusters"):
        split(two, number, CONFIG)


def test_copies_of_one_region_cannot_be_split_by_what_they_look_like() -> None:
    """Both parts exist, or the answer is refused: never a cluster without regions."""
    features = np.repeat(np.eye(2, 8, dtype=np.float32), [30, 20], axis=0)
    found = cluster(features, CONFIG, clusters=2)
    after = split(found, 1, CONFIG)
    assert set(after.clusters.tolist()) == {1, 2, 3}
