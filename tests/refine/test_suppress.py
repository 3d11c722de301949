"""The two rules, and the boxes of what they leave."""

from __future__ import annotations

import numpy as np
import pytest

from raypipe.config import RefineConfig
from raypipe.maps import map_boxes
from raypipe.refine.suppress import refined

PLAIN = np.array([[1.0, 0.5, 0.25], [0.2, 0.1, 0.0]], np.float32)


def test_filter_takes_away_from_foreground_cells_only() -> None:
    share = np.array([[0.5, 0.0, 1.0], [0.0, 0.0, 0.0]], np.float32)
    found = refined(PLAIN, share, "filter", RefineConfig(threshold=0.2))
    np.testing.assert_allclose(found, [[0.5, 0.0, 0.25], [0.2, 0.1, 0.0]])
    assert found.dtype == np.float32


def test_filter_without_any_match_leaves_nothing() -> None:
    found = refined(PLAIN, np.zeros_like(PLAIN), "filter", RefineConfig(threshold=0.2))
    np.testing.assert_array_equal(found, np.zeros_like(PLAIN))


def test_filter_does_not_hand_over_to_the_background() -> None:
    # One vote of fifty leaves the object's cells below the untouched rest.
    plain = np.array([[1.0, 0.9, 0.19]], np.float32)
    found = refined(plain, np.full_like(plain, 0.02), "filter", RefineConfig(threshold=0.2))
    np.testing.assert_array_equal(found, np.zeros_like(plain))


def test_filter_keeps_what_is_all_object() -> None:
    found = refined(PLAIN, np.ones_like(PLAIN), "filter", RefineConfig())
    np.testing.assert_array_equal(found, PLAIN)


def test_classify_decides_every_cell_above_the_floor() -> None:
    share = np.array([[0.0, 1.0, 0.5], [1.0, 1.0, 1.0]], np.float32)
    found = refined(PLAIN, share, "classify", RefineConfig(gamma=0.5, floor=0.1))
    np.testing.assert_allclose(
        found, [[0, np.sqrt(0.5), 0.5 * 0.5], [np.sqrt(0.2), 0, 0]], rtol=1e-6
    )
    assert found.dtype == np.float32


def test_classify_can_raise_a_part_that_the_plain_map_missed() -> None:
    plain = np.array([[1.0, 0.15]], np.float32)
    share = np.array([[0.3, 1.0]], np.float32)
    found = refined(plain, share, "classify", RefineConfig(gamma=0.6))
    assert found[0, 1] > found[0, 0]
    assert refined(plain, share, "filter", RefineConfig())[0, 1] == plain[0, 1]


@pytest.mark.parametrize("rule", ["filter", "classify"])
def test_rules_leave_their_inputs_alone_and_stay_in_range(rule) -> None:
    generator = np.random.default_rng(0)
    plain, share = generator.random((2, 9, 9)).astype(np.float32)
    before = plain.copy(), share.copy()
    found = refined(plain, share, rule, RefineConfig())
    assert 0 <= found.min() <= found.max() <= 1
    np.testing.assert_array_equal(plain, before[0])
    np.testing.assert_array_equal(share, before[1])


def test_an_empty_map_stays_empty() -> None:
    for rule in ("filter", "classify"):
        assert not refined(np.zeros((2, 2), np.float32), np.ones((2, 2), np.float32), rule,
                           RefineConfig()).any()  # fmt: skip


def test_boxes_are_in_pixels_of_the_image() -> None:
    grid = np.zeros((4, 4), np.float32)
    grid[1:3, 0:2] = 1
    # Bilinear weights along an axis of 40 pixels: above 0.5 from the middle of cells on.
    np.testing.assert_array_equal(map_boxes(grid, 40, 80, 0.5), [[0, 10, 40, 30]])


def test_the_largest_component_or_all() -> None:
    grid = np.zeros((5, 9), np.float32)
    grid[:, 0] = 0.9
    grid[2, 6:8] = 1
    first = map_boxes(grid, 5, 9, 0.5)
    np.testing.assert_array_equal(first, [[0, 0, 1, 5]])
    both = map_boxes(grid, 5, 9, 0.5, every=True)
    np.testing.assert_array_equal(both, [[0, 0, 1, 5], [6, 2, 8, 3]])
    only_peak = map_boxes(grid, 5, 9, 0.95, every=True)
    np.testing.assert_array_equal(only_peak, [[6, 2, 8, 3]])


def test_the_threshold_is_a_share_of_the_maps_own_maximum() -> None:
    grid = np.random.default_rng(0).random((6, 6)).astype(np.float32)
    np.testing.assert_array_equal(map_boxes(grid, 60, 60, 0.4), map_boxes(grid / 8, 60, 60, 0.4))


def test_an_empty_map_has_no_box() -> None:
    assert map_boxes(np.zeros((3, 3), np.float32), 30, 30, 0.2).shape == (0, 4)
