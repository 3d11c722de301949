"""The benchmark of one clustering: its data, its contenders and its arithmetic, at tiny sizes."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from benchmarks import cluster
from benchmarks.clusterers import METHODS, Asked
from benchmarks.planted import planted


def run(monkeypatch, capsys, *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["cluster.py", *words])
    cluster.main()
    return capsys.readouterr().out


def test_planted_features_are_unit_rows_of_unequal_clusters() -> None:
    features, truth = planted(1000, 40, 4, seed=3)
    assert features.shape == (1000, 40)
    assert features.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    sizes = np.bincount(truth)
    assert len(sizes) == 4
    assert 1.8 < sizes.max() / sizes.min() < 2.2
    again, _ = planted(1000, 40, 4, seed=3)
    np.testing.assert_array_equal(features, again)
    assert not np.array_equal(features, planted(1000, 40, 4, seed=4)[0])


@pytest.mark.parametrize(("count", "dimensions", "clusters"), [(1, 8, 6), (3, 40, 2), (9, 33, 1)])
def test_a_handful_of_features_can_be_planted(count, dimensions, clusters) -> None:
    features, truth = planted(count, dimensions, clusters, seed=0)
    assert features.shape == (count, dimensions)
    assert 0 <= truth.min() <= truth.max() < clusters


@pytest.mark.filterwarnings("ignore:Graph is not fully connected")
@pytest.mark.parametrize("name", METHODS)
def test_every_contender_finds_what_is_far_apart(name) -> None:
    # corelay's 32 eigenvectors of 400 points are mostly noise.
    features, truth = planted(1500 if name == "corelay" else 400, 48, 4, seed=0, spread=0.08)
    labels = METHODS[name](features, Asked(clusters=4, max_clusters=8, seed=0))
    assert adjusted_rand_score(truth, labels) > 0.95
    assert len(np.unique(labels)) == 4


def test_the_normalised_cut_is_that_of_the_formula() -> None:
    weights = np.triu(np.random.default_rng(0).random((9, 9)), 1)
    weights += weights.T
    labels = np.array([5, 5, 5, 5, 2, 2, 2, 9, 9])
    expected = sum(
        weights[labels == name][:, labels != name].sum() / weights[labels == name].sum()
        for name in (2, 5, 9)
    )
    found = cluster.normalised_cut(sparse.csr_array(weights), labels)
    assert found == pytest.approx(expected, abs=1e-4)
    assert cluster.normalised_cut(sparse.csr_array(weights), np.zeros(9)) == 0


def test_the_common_graph_joins_nearest_neighbours_by_their_cosine() -> None:
    features, _ = planted(60, 16, 2, seed=0)
    graph = cluster.common_graph(features).toarray()
    cosines = features @ features.T
    np.fill_diagonal(cosines, -2)
    near = cosines >= np.sort(cosines, axis=1)[:, [-20]]
    expected = np.where(near | near.T, np.maximum(cosines, 0), 0)
    np.testing.assert_allclose(graph, expected, atol=1e-5)


def test_every_numerical_library_gets_the_threads() -> None:
    found = cluster.environment(3)
    assert found["OMP_NUM_THREADS"] == found["OPENBLAS_NUM_THREADS"] == "3"
    assert found["PATH"]


def test_rounds_are_summed_up() -> None:
    rounds = [{"seconds": seconds, "peak_mb": 50 + seconds, "ari": 1.0, "k": 8, "ncut": 0.5}
              for seconds in (3.0, 1.0, 2.0)]  # fmt: skip
    assert cluster.summary(rounds) == rounds[0] | {"seconds": 2.0, "peak_mb": 53.0}
    broken = {"error": "killed", "ari": None, "k": None, "ncut": None}
    assert cluster.summary([rounds[0], broken]) == {"seconds": None, "peak_mb": None} | broken


def test_a_whole_run(monkeypatch, capsys, tmp_path) -> None:
    picture = tmp_path / "plot.png"
    words = (
        "--sizes",
        "300",
        "--dims",
        "40",
        "--true-clusters",
        "3",
        "--methods",
        "kmeans,raypipe",
    )
    rows = json.loads(run(monkeypatch, capsys, *words, "--json", "--plot", str(picture)))
    assert [row["method"] for row in rows] == ["kmeans", "raypipe"]
    for row in rows:
        assert (row["n"], row["d"], row["true_k"], row["max_k"]) == (300, 40, 3, 5)
        assert row["seconds"] > 0
        assert row["peak_mb"] > 50
        assert row["ari"] > 0.8
        assert row["ncut"] == pytest.approx(row["ncut_truth"], abs=0.2)
    assert rows[1]["ratio"] == 1.0
    assert rows[0]["ratio"] == pytest.approx(rows[0]["seconds"] / rows[1]["seconds"], abs=0.02)
    assert picture.stat().st_size > 1000
    assert cluster.table(rows).row_count == 2


def test_a_contender_that_takes_too_long_is_stopped(monkeypatch, capsys) -> None:
    words = ("--sizes", "50", "--dims", "8", "--methods", "kmeans", "--limit", "0.01")
    printed = run(monkeypatch, capsys, *words)
    assert "KMeans: stopped after 0.01 s" in printed


def test_an_unknown_contender_is_refused(capsys) -> None:
    with pytest.raises(SystemExit):
        cluster.parser().parse_args(["--methods", "raypipe,fastest"])
    assert "unknown fastest" in capsys.readouterr().err
