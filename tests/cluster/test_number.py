"""How many clusters there are, where it is known."""

from __future__ import annotations

import warnings
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score

from raypipe.cluster.assign import cluster
from raypipe.cluster.number import Number, choose_number
from raypipe.config import ClusterConfig
from tests.cluster.planted import OUTLIER, plant, varied

CONFIG = ClusterConfig(max_clusters=8, clear_gap=0.1, structure=0.9, budget=3)

# -- the three ways -------------------------------------------------------------------------------


def chosen(*values: float, **settings: int) -> Number:
    return choose_number(np.array(values), CONFIG.model_copy(update=settings))


@pytest.mark.parametrize(
    ("values", "clusters"),
    [
        ([1, 0.95, 0.4, 0.33, 0.27], 2),
        ([1, 1, 1, 0.4, 0.3], 3),  # components
        ([1, 0.98, 0.97, 0.96, 0.5, 0.45], 4),
        ([1, 0.95, 0.8, 0.4, 0.35], 3),  # of two clear gaps the last
        ([1, 0.7, 0.35, 0.3], 2),  # a dear cut, but all others are much dearer
        ([1] * 8 + [0.5], 8),
    ],
)
def test_the_last_clear_gap_says_how_many(values, clusters) -> None:
    assert chosen(*values) == Number(clusters, "gap")


def test_a_gap_is_clear_that_is_larger_than_the_cost_of_the_best_cut_and_the_constant() -> None:
    assert chosen(1, 0.85, 0.69, 0.6) == Number(2, "gap")
    assert chosen(1, 0.85, 0.71, 0.6) == Number(1, "structure")
    assert chosen(1, 0.99, 0.88, 0.8) == Number(2, "gap")
    assert chosen(1, 0.99, 0.90, 0.82).reason == "budget"


def test_what_comes_before_the_second_eigenvalue_is_no_gap() -> None:
    assert chosen(1, 0.5, 0.48, 0.45) == Number(1, "structure")


def test_a_gap_beyond_the_maximum_does_not_count() -> None:
    values = [1, 0.99, 0.98, 0.97, 0.96, 0.3]
    assert chosen(*values) == Number(5, "gap")
    assert chosen(*values, max_clusters=4) == Number(3, "budget")
    assert chosen(*values, max_clusters=1) == Number(1, "structure")


def test_no_structure_is_one_cluster() -> None:
    assert chosen(1, 0.89, 0.85, 0.8) == Number(1, "structure")
    assert chosen(1, 0.91, 0.85, 0.8).reason == "budget"
    assert chosen(1) == Number(1, "structure")


def test_without_a_gap_as_many_as_there_are_cheap_cuts_within_the_budget() -> None:
    assert chosen(1, 0.97, 0.93, 0.9, 0.86) == Number(2, "budget")
    assert chosen(1, 0.97, 0.95, 0.93, 0.9) == Number(3, "budget")
    smooth = [1, 0.97, 0.96, 0.95, 0.945, 0.942]
    assert chosen(*smooth) == Number(3, "budget")
    assert chosen(*smooth, budget=5) == Number(5, "budget")
    assert chosen(*smooth, budget=9, max_clusters=4) == Number(4, "budget")
    assert chosen(*[1.0] * 9) == Number(3, "budget"), "more components than the maximum"


@given(st.lists(st.floats(-1, 1), max_size=12), st.integers(1, 9), st.integers(1, 9))
def test_any_spectrum_gives_a_number_that_is_allowed(rest, most, budget) -> None:
    values = np.array([1.0, *sorted(rest, reverse=True)])
    found = choose_number(values, ClusterConfig(max_clusters=most, budget=budget))
    assert 1 <= found.clusters <= min(most, len(values))


# -- planted clusters -----------------------------------------------------------------------------


def test_the_number_is_right_in_95_of_100_planted_cases() -> None:
    """1 to 8 clusters; noise, size, dimensions, imbalance and outliers vary."""
    right: dict[int, list[bool]] = defaultdict(list)
    for seed in range(256):
        case = varied(seed)
        found = cluster(case.features, ClusterConfig())
        right[case.clusters].append(found.clusters.max() == case.clusters)
    assert {number: len(own) for number, own in right.items()} == dict.fromkeys(range(1, 9), 32)
    assert np.mean([one for own in right.values() for one in own]) >= 0.95
    assert min(np.mean(own) for own in right.values()) >= 0.8, "whatever the number is"


SEPARATED = {"equal": ([1] * 4, 9.0), "of three sizes": ([4, 2, 1], 9.0)}
OVERLAPPING = {"four": ([1] * 4, 4.0), "three": ([1] * 3, 4.5)}
UNBALANCED = {"one is small": ([50, 25, 1], 12.0), "all differ": ([50, 13.6, 3.7, 1], 12.0)}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("shares", "apart"),
    [*SEPARATED.values(), *OVERLAPPING.values(), *UNBALANCED.values()],
    ids=[*SEPARATED, *OVERLAPPING, *UNBALANCED],
)
def test_it_is_as_good_as_scikit_learn_that_is_told_the_number(shares, apart, seed) -> None:
    """Planted clusters, 1 : 50 in size where they are unbalanced; ours finds the number, too."""
    case = plant(np.random.default_rng(seed), shares, 1500, apart=apart)
    # The smallest draws now and then fewer regions than are worth a question by default.
    found = cluster(case.features, ClusterConfig(min_share=0.008))
    other = SpectralClustering(
        case.clusters, affinity="nearest_neighbors", n_neighbors=20, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a graph that is not connected
        theirs = adjusted_rand_score(case.truth, other.fit_predict(case.features))
    assert adjusted_rand_score(case.truth, found.clusters) >= theirs - 0.005
    assert found.clusters.max() == case.clusters


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("number", [None, 2], ids=["number found", "number given"])
def test_two_clusters_of_50_to_1_are_told_apart(number, seed) -> None:
    """From the mean of all, which lies in the large one, it has no direction."""
    case = plant(np.random.default_rng(seed), [50, 1], 2500, apart=12.0)
    found = cluster(case.features, ClusterConfig(min_share=0.008), clusters=number)
    assert adjusted_rand_score(case.truth, found.clusters) >= 0.995


@pytest.mark.parametrize("seed", range(5))
def test_one_cluster_is_one(seed) -> None:
    case = plant(np.random.default_rng(seed), [1], 1500, apart=0.0)
    found = cluster(case.features, ClusterConfig())
    assert found.number == Number(1, "structure")
    assert (found.clusters == 1).all()


@pytest.mark.parametrize("seed", range(5))
def test_outliers_make_no_cluster(seed) -> None:
    case = plant(np.random.default_rng(seed), [1, 1, 1], 900, apart=9.0, outliers=0.03)
    found = cluster(case.features, ClusterConfig())
    inliers = case.truth != OUTLIER
    assert found.clusters.max() == 3
    assert adjusted_rand_score(case.truth[inliers], found.clusters[inliers]) > 0.95
