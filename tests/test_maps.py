"""From cells to pixels and boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from raypipe.maps import box_ious, component_boxes, foreground, normalised, upsampled

SIDE = st.integers(1, 9)


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(np.float32, st.tuples(SIDE, SIDE), elements=st.floats(-10, 10, width=32)),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_upsampling_is_torchs(grid, height, width) -> None:
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(grid)[None, None], (height, width), mode="bilinear", align_corners=False
    )[0, 0].numpy()
    ours = upsampled(grid, height, width)
    assert ours.shape == (height, width)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_upsampling_takes_half_precision_and_leaves_its_input_alone() -> None:
    grid = np.array([[0, 1]], np.float16)
    ours = upsampled(grid, 1, 4)
    np.testing.assert_allclose(ours, [[0, 0.25, 0.75, 1]])
    ours[:] = 9
    np.testing.assert_allclose(upsampled(grid, 1, 4), [[0, 0.25, 0.75, 1]])


def test_normalising_cuts_negative_scores_and_scales_each_map() -> None:
    scores = np.array([[[1, 2], [-4, 0]], [[-1, -2], [-3, 0]], [[5, 5], [5, 5]]], np.float32)
    maps = normalised(scores)
    np.testing.assert_array_equal(maps[0], [[0.5, 1], [0, 0]])
    np.testing.assert_array_equal(maps[1], np.zeros((2, 2)))
    np.testing.assert_array_equal(maps[2], np.ones((2, 2)))
    assert maps.dtype == np.float32
    assert scores[0, 1, 0] == -4


def test_foreground_is_strictly_above_a_share_of_the_maximum() -> None:
    grid = np.array([[0.0, 0.5], [1.0, 2.0]], np.float32)
    np.testing.assert_array_equal(foreground(grid, 0.5), [[False, False], [False, True]])
    np.testing.assert_array_equal(foreground(grid, 0.0), [[False, True], [True, True]])
    assert not foreground(np.zeros((2, 2), np.float32), 0.2).any()


def test_components_touch_at_corners_and_the_largest_comes_first() -> None:
    mask = np.array([[1, 0, 0, 0, 1, 1],
                     [0, 0, 0, 0, 1, 0],
                     [0, 1, 0, 0, 0, 0],
                     [0, 0, 1, 0, 0, 0],
                     [1, 1, 1, 0, 0, 1]], bool)  # fmt: skip
    np.testing.assert_array_equal(
        component_boxes(mask),
        [[0, 2, 3, 5], [4, 0, 6, 2], [0, 0, 1, 1], [5, 4, 6, 5]],
    )


def test_components_are_ordered_by_pixels_not_by_the_area_of_the_box() -> None:
    mask = np.zeros((6, 6), bool)
    np.fill_diagonal(mask[:4, :4], val=True)  # 4 pixels in a box of 16
    mask[4:6, 3:6] = True  # touches at a corner: one component
    assert len(component_boxes(mask)) == 1
    mask[3, 3] = False
    mask[4:6, 3:6] = [[0, 0, 1], [1, 1, 1]]
    np.testing.assert_array_equal(component_boxes(mask), [[3, 4, 6, 6], [0, 0, 3, 3]])


def test_nothing_has_no_box() -> None:
    assert component_boxes(np.zeros((3, 3), bool)).shape == (0, 4)


def test_ious_by_hand() -> None:
    truth = np.array([[0, 0, 4, 4], [2, 2, 6, 6], [4, 0, 8, 4], [1, 1, 2, 2], [0, 0, 0, 0]], float)
    np.testing.assert_allclose(box_ious(np.array([0.0, 0, 4, 4]), truth), [1, 4 / 28, 0, 1 / 16, 0])
    assert box_ious(np.zeros(4), np.zeros((2, 4))).tolist() == [0, 0]
    assert box_ious(np.zeros(4), np.empty((0, 4))).shape == (0,)


@given(
    st.lists(st.tuples(*[st.integers(0, 9)] * 2, *[st.integers(1, 9)] * 2), min_size=2, max_size=6)
)
def test_ious_are_those_of_pixels(sizes) -> None:
    boxes = [(x, y, x + width, y + height) for x, y, width, height in sizes]
    masks = np.zeros((len(boxes), 18, 18), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    expected = [
        (masks[0] & mask).sum() / (masks[0] | mask).sum() for mask in masks[1:]
    ]  # fmt: skip
    found = box_ious(np.array(boxes[0], float), np.array(boxes[1:], float))
    assert found.tolist() == pytest.approx(expected)
