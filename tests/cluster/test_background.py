"""What the background bank says of clusters."""

from __future__ import annotations

import numpy as np
import pytest

from raypipe.cluster.assign import cluster
from raypipe.cluster.background import background_shares, cluster_means, merge_alike
from raypipe.config import ClusterConfig
from tests.cluster.planted import plant


def around(direction: int, count: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng([direction, count, seed])
    rows = np.eye(8)[direction] + 0.1 * generator.normal(size=(count, 8))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_it_is_the_share_of_the_bank_among_the_nearest_50() -> None:
    unit = np.concatenate([around(0, 100), around(1, 60), around(2, 60)])
    bank = np.concatenate([around(1, 60, seed=1), around(2, 300, seed=1)])
    shares = background_shares(unit, bank)
    cosines = unit @ np.concatenate([unit, bank]).T
    np.fill_diagonal(cosines, -np.inf)
    near = np.argsort(-cosines, axis=1)[:, :50]
    np.testing.assert_allclose(shares, (near >= len(unit)).mean(axis=1), atol=0.021)
    assert shares[:100].max() == 0
    assert 0.3 < shares[100:160].mean() < 0.7 < shares[160:].mean()


def test_only_a_sample_of_many_regions_is_looked_at() -> None:
    unit = around(0, 5000)
    shares = background_shares(unit, around(0, 5000, seed=1))
    known = ~np.isnan(shares)
    assert known.sum() == 2000
    assert known[[0, -1]].all()
    assert shares[known].mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("regions", "bank"), [(1, 1), (1, 3), (4, 1)])
def test_a_handful_of_regions_and_cells(regions, bank) -> None:
    shares = background_shares(around(0, regions), around(0, bank, seed=1))
    np.testing.assert_allclose(shares, bank / (regions + bank - 1))


def test_a_cluster_that_was_not_looked_at_has_the_mean_of_all() -> None:
    shares = np.array([0.2, np.nan, 0.4, np.nan, np.nan, 0.9], np.float32)
    clusters = np.array([1, 1, 1, 2, 2, 3], np.int32)
    assert cluster_means(shares, clusters) == pytest.approx({1: 0.3, 2: 0.5, 3: 0.9})


def test_clusters_that_are_alike_become_one() -> None:
    clusters = np.repeat([0, 1, 2, 3], 10).astype(np.int32)
    shares = np.repeat([0.1, 0.8, 0.12, 0.75], 10).astype(np.float32)
    merged = merge_alike(clusters, shares, 0.2)
    np.testing.assert_array_equal(merged, np.repeat([0, 1, 0, 1], 10))
    np.testing.assert_array_equal(clusters, np.repeat([0, 1, 2, 3], 10))
    np.testing.assert_array_equal(merge_alike(clusters, shares, 0.02), clusters)
    sides = merge_alike(clusters, shares, 9.0)
    np.testing.assert_array_equal(sides, merged, "never across the mean share")


def test_without_background_nothing_is_alike() -> None:
    clusters = np.repeat([0, 1], 10).astype(np.int32)
    np.testing.assert_array_equal(merge_alike(clusters, np.zeros(20, np.float32), 9.0), clusters)


def test_a_clear_gap_is_not_overruled() -> None:
    case = plant(np.random.default_rng(0), [1, 1, 1], 600, apart=9.0)
    config = ClusterConfig(alike=0.9)
    found = cluster(case.features, config, bank=case.features[::3])
    assert found.number.reason == "gap"
    assert found.clusters.max() == 3
    assert 0.2 < found.shares.mean() < 0.5
    assert not cluster(case.features, config).shares.any(), "without a bank"
