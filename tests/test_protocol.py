"""The benchmarks' protocol in one process does what the product does, on a small drawn set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.ablation import markdown
from benchmarks.localized import Localized, LocalizedSet, Pair
from benchmarks.nearest import FLOOR, Matching
from benchmarks.protocol import evaluate, folds, merged, nearest, plain, val_split
from benchmarks.variants import PerClass, TwoLevel, locally_scaled
from raypipe.cluster.affinity import nearest as graph_neighbors
from raypipe.cluster.assign import cluster
from raypipe.config import ClusterConfig, RefineConfig
from raypipe.datasets.truth import ClassMask
from raypipe.loading.shard import ShardImage
from raypipe.localizers.shard import LocalizedImage
from raypipe.refine.match import Matcher
from raypipe.refine.references import References

GRID, PIXELS, WIDTH = 8, 64, 16
NAMES = ("boat", "cow")


def drawn_set(seed: int, count: int) -> LocalizedSet:
    """Return images whose object is a square, beside it a distractor that the map marks as well."""
    generator = np.random.default_rng(seed)
    kinds = generator.standard_normal((1 + 2 * len(NAMES), WIDTH))
    images, pairs, features = [], [], []
    for at in range(count):
        which = at % len(NAMES)
        truth = np.zeros((GRID, GRID), bool)
        row = int(generator.integers(0, 5))
        truth[row : row + 3, :3] = True
        beside = np.zeros_like(truth)
        beside[row : row + 3, 3:6] = True
        kind = np.where(truth, 1 + 2 * which, np.where(beside, 2 + 2 * which, 0))
        own = kinds[kind] + 0.3 * generator.standard_normal((GRID, GRID, WIDTH))
        own /= np.linalg.norm(own, axis=-1, keepdims=True)
        features.append(own.reshape(-1, WIDTH).astype(np.float16))
        grid = np.where(truth | beside, 1.0, 0.01) * generator.uniform(0.9, 1.0, truth.shape)
        grid = np.maximum(grid / grid.max(), 0.0).astype(np.float32)
        name = NAMES[which]
        image = ShardImage(f"{at:03d}", "", (name,), (at // len(NAMES),), PIXELS, PIXELS)
        scores = np.zeros(1, np.float32)
        ranks = np.ones(1, np.int32)
        images.append(LocalizedImage(image, (name,), grid[None], scores, scores, ranks))
        inside = np.kron(truth, np.ones((PIXELS // GRID,) * 2, bool)).astype(bool)
        rows, cols = np.nonzero(inside)
        box = [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]
        mask = ClassMask(inside, np.ones_like(inside))
        pairs.append(Pair(at, name, grid, mask, np.array([box], np.float64)))
    sizes = dict.fromkeys(NAMES, count // len(NAMES))
    return LocalizedSet(tuple(images), tuple(pairs), np.stack(features), sizes)


@pytest.fixture
def data(tmp_path: Path) -> Localized:
    return Localized(drawn_set(0, 40), drawn_set(0, 20), 0, tmp_path)


def test_refining_helps_where_a_distractor_comes_along(data: Localized) -> None:
    split = val_split(data)
    clusters, _ = PerClass(2)(split, 0)
    before, after = plain(split), evaluate(split, clusters)
    assert before.iou == pytest.approx(0.5, abs=0.1)
    assert after.iou > before.iou + 0.2
    assert after.answers == 2
    assert after.per_class.keys() == set(NAMES)


def test_a_group_is_one_question_and_its_answer_goes_to_all_members(data: Localized) -> None:
    split = val_split(data)
    clusters, _ = PerClass(2)(split, 0)
    object_of = {
        name: int(np.argmax([split.regions[name].on_class[own == at].mean() for at in (1, 2)])) + 1
        for name, own in clusters.items()
    }
    groups = {(name, at): 1 if at == object_of[name] else 2 for name in NAMES for at in (1, 2)}
    alone, together = evaluate(split, clusters), evaluate(split, clusters, groups=groups)
    assert together.answers == 1
    assert together.iou == pytest.approx(alone.iou)


def test_shares_are_those_of_the_matcher(data: Localized) -> None:
    split, votes = val_split(data), RefineConfig().neighbors
    name = NAMES[0]
    own, found = split.regions[name], cluster(split.features[name], ClusterConfig())
    is_object = np.concatenate([found.clusters == 1, np.zeros(len(own.bank))]).astype(np.float32)
    shifted = np.concatenate([own.features, own.bank]) - found.centre
    unit = shifted / np.linalg.norm(shifted, axis=1, keepdims=True)
    matcher = Matcher(References(found.centre, unit, is_object), votes, torch.device("cpu"))
    close = nearest(split, Matching())[name]
    for pair, cells, places in zip(split.pairs_of(name), close.cells, close.found, strict=True):
        assert len(cells) == (pair.plain > FLOOR).sum()
        expected = matcher.object_share(torch.from_numpy(split.cells.vectors(pair.at, cells)))
        np.testing.assert_allclose(is_object[places].mean(axis=1), expected, atol=1e-6)


def test_folds_share_no_image_and_hold_every_class(data: Localized) -> None:
    splits = folds(data, fold_seed=3)
    held = [pair.at for split in splits for pair in split.pairs]
    assert sorted(held) == list(range(40))
    for split in splits:
        assert {pair.name for pair in split.pairs} == set(NAMES)
        learned = {at for own in split.regions.values() for at in own.images.tolist()}
        assert not learned & {pair.at for pair in split.pairs}
    assert merged([plain(split) for split in splits]).iou == pytest.approx(
        np.mean([plain(split).iou for split in splits])
    )


def test_groups_of_two_levels_cover_all_clusters(data: Localized) -> None:
    split = val_split(data)
    clusters, groups = TwoLevel(2)(split, 0)
    assert groups.keys() == {(name, at) for name in NAMES for at in np.unique(clusters[name])}
    assert set(groups.values()) == {1, 2}


def test_local_scaling_is_that_of_the_paper() -> None:
    points = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = graph_neighbors(points, 10)
    graph = locally_scaled(found).toarray()
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    scales = np.sort(distances, axis=1)[:, 7]
    expected = np.exp(-(distances**2) / (scales[:, None] * scales[None]))
    edges = graph > 0
    assert edges.sum(axis=1).min() >= 10
    np.testing.assert_allclose(graph[edges], expected[edges], rtol=1e-3)


def test_markdown_has_a_line_a_variant_and_marks_the_default() -> None:
    row = {"choice": "γ", "iou": 0.75, "corloc": 0.8361, "answers": 3.0}
    rows = [
        row | {"value": value, "seed": seed, "default": value == "0.6"}
        for seed in (0, 1)
        for value in ("0.4", "0.6")
    ]
    lines = markdown(rows).splitlines()
    assert len(lines) == 4
    assert lines[3] == "|  | **0.6** | 0.750 | 0.836 | 3.0 | 0.750 | 0.836 | 3.0 |"
