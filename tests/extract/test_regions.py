"""Which cells become regions, and what is written of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from raypipe.columns import matrix
from raypipe.config import ExtractConfig
from raypipe.extract.regions import quota, regions_of, sample
from raypipe.extract.rows import map_table, region_table
from raypipe.loading.shard import ShardImage
from raypipe.localizers.shard import LocalizedImage
from raypipe.tables import MAPS, REGIONS


@given(st.integers(1, 300), st.integers(0, 5000))
def test_quotas_of_a_class_sum_to_the_limit(images, most) -> None:
    quotas = [quota(ordinal, images, most) for ordinal in range(images)]
    assert sum(quotas) == most
    assert max(quotas) - min(quotas) <= 1


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 30), st.integers(0, 2**32))
def test_a_sample_lies_within_the_candidates(height, width, most, seed) -> None:
    candidates = np.random.default_rng(seed).random((height, width)) < 0.5
    cells = sample(candidates, most, (seed, "image", "class", False))
    assert cells.shape == (min(most, candidates.sum()), 2)
    assert candidates[cells[:, 0], cells[:, 1]].all()
    keys = [tuple(cell) for cell in cells]
    assert keys == sorted(set(keys)), "in reading order, none twice"
    np.testing.assert_array_equal(cells, sample(candidates, most, (seed, "image", "class", False)))


def test_every_part_of_the_key_makes_another_sample() -> None:
    candidates = np.ones((20, 20), bool)
    keys = [(0, "a", "cat", False), (1, "a", "cat", False), (0, "b", "cat", False),
            (0, "a", "dog", False), (0, "a", "cat", True)]  # fmt: skip
    assert len({sample(candidates, 9, key).tobytes() for key in keys}) == 5


def test_a_sample_is_the_same_on_every_machine() -> None:
    """Written down: a change here makes other regions of everybody's images."""
    cells = sample(np.ones((8, 8), bool), 3, (0, "image", "class", False))
    assert cells.tolist() == [[1, 3], [5, 1], [6, 0]]


def test_samples_are_spread_evenly() -> None:
    counts = np.zeros((6, 6))
    for number in range(600):
        cells = sample(np.ones((6, 6), bool), 6, (0, f"image{number}"))
        counts[cells[:, 0], cells[:, 1]] += 1
    assert counts.min() > 60  # 100 expected, 9 the standard deviation
    assert counts.max() < 140


def localized(maps: np.ndarray, classes=("cat",), ordinals=(0,), labelled=True) -> LocalizedImage:
    image = ShardImage("i", "/i", classes if labelled else (), ordinals, 30, 20)
    count = len(classes)
    return LocalizedImage(image, classes, maps.astype(np.float32), np.ones(count, np.float32),
                          np.full(count, 0.5, np.float32), np.ones(count, np.int32))  # fmt: skip


GRID = np.linspace(0, 1, 24).reshape(1, 4, 6)


def test_regions_are_cells_above_and_below_the_thresholds() -> None:
    config = ExtractConfig(threshold=0.5, background_threshold=0.2)
    front, back = regions_of(localized(GRID), {"cat": 1}, config)
    assert (front.background, back.background) == (False, True)
    assert front.cells.tolist() == np.argwhere(GRID[0] > 0.5).tolist()
    assert [tuple(cell) for cell in back.cells] == [(0, at) for at in range(5)]
    for found in (front, back):
        assert (found.image_id, found.name) == ("i", "cat")
        rows, cols = found.cells.T
        np.testing.assert_array_equal(found.scores, GRID[0].astype(np.float32)[rows, cols])


def test_each_class_has_its_own_quota() -> None:
    item = localized(np.ones((2, 4, 6)), ("cat", "dog"), (1, 0))
    config = ExtractConfig(regions_per_class=10, background_per_class=0)
    found = list(regions_of(item, {"cat": 3, "dog": 1}, config))
    assert [(one.name, one.background, len(one.cells)) for one in found] == [
        ("cat", False, 3), ("cat", True, 0), ("dog", False, 10), ("dog", True, 0),
    ]  # fmt: skip


def test_an_image_without_labels_gives_no_regions() -> None:
    item = localized(GRID, ("cat",), (), labelled=False)  # the class was seen, nobody said it
    assert list(regions_of(item, {}, ExtractConfig())) == []
    assert map_table([item]).num_rows == 1


def test_a_map_without_a_positive_score_is_no_background_either() -> None:
    item = localized(np.stack([np.zeros((4, 6)), GRID[0]]), ("cat", "dog"), (0, 0))
    found = regions_of(item, {"cat": 1, "dog": 1}, ExtractConfig())
    assert {one.name for one in found} == {"dog"}


def test_regions_as_a_table() -> None:
    config = ExtractConfig(threshold=0.9, background_threshold=0.1)
    samples = list(regions_of(localized(GRID), {"cat": 1}, config))
    features = np.arange(30, dtype=np.float16).reshape(6, 5)
    found = list(zip(samples, (features[:3], features[3:]), strict=True))
    table = region_table(found[::-1])  # they come in any order
    assert table.schema == REGIONS.schema
    assert REGIONS.check(table, "x") == table
    assert table["background"].to_pylist() == [False] * 3 + [True] * 3
    assert table["row"].to_pylist() == [3, 3, 3, 0, 0, 0]
    assert table["col"].to_pylist() == [3, 4, 5, 0, 1, 2]
    assert table["image_id"].to_pylist() == ["i"] * 6
    np.testing.assert_array_equal(matrix(table["feature"]), features)
    empty = region_table([])
    assert (empty.num_rows, empty.schema) == (0, REGIONS.schema)


def test_maps_as_a_table() -> None:
    maps = np.stack([GRID[0], GRID[0] ** 2])
    table = map_table([localized(maps, ("cat", "dog"), (0, 0)), localized(GRID)])
    assert MAPS.check(table, "x") == table
    assert table["class"].to_pylist() == ["cat", "dog", "cat"]
    assert table["grid_width"].to_pylist() == [6] * 3
    assert table["grid_height"].to_pylist() == [4] * 3
    np.testing.assert_allclose(matrix(table["map"])[1].reshape(4, 6), maps[1], atol=1e-3)
    assert table["score"].to_pylist() == [0.5] * 3
    assert map_table([]).schema == MAPS.schema
