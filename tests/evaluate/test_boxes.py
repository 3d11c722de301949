import numpy as np
import pyarrow as pa
import pytest

from raypipe.evaluate.boxes import (
    NO_HITS,
    best_iou,
    box_hits,
    hits,
    peak_inside,
    stretched_grid,
    unpacked,
)


def boxes(*rows):
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def test_only_the_first_box_is_judged_and_against_the_best_true_one():
    truth = boxes((0, 0, 10, 10), (20, 0, 30, 10))
    # 10 x 5 of a 10 x 10 box: 50 / 100.
    assert best_iou(boxes((20, 0, 30, 5), (0, 0, 10, 10)), truth) == 0.5
    # Shifted by half a side: 50 / (100 + 100 - 50).
    assert best_iou(boxes((5, 0, 15, 10)), truth) == pytest.approx(1 / 3)


def test_a_detection_without_boxes_misses_and_no_truth_says_nothing():
    assert best_iou(boxes(), boxes((0, 0, 1, 1))) == 0.0
    assert best_iou(boxes((0, 0, 1, 1)), boxes()) is None


def test_the_largest_contour_counts_in_v1_and_the_best_in_v2():
    # A large weak square and a small strong one, drawn at the benchmark's own size.
    small = np.zeros((224, 224))
    small[100:200, 100:200] = 0.6
    small[10:40, 10:40] = 1.0
    # True boxes are in an image of twice that size.
    found = box_hits(small, boxes((20, 20, 80, 80)), 448, 448)
    v1, v2 = unpacked(pa.chunked_array([pa.array([found], pa.binary(78))]))[0].reshape(2, 3, 100)
    assert (v2 == 1).all()
    assert (v1[:, :60] == 0).all()
    assert (v1[:, 61:] == 1).all()


def test_nothing_found_never_hits():
    found = box_hits(stretched_grid(np.ones((2, 2), np.float32)), boxes((0, 0, 9, 9)), 10, 10)
    assert found == NO_HITS
    column = pa.chunked_array([pa.array([None, found], pa.binary(78))])
    assert not unpacked(column).any()
    assert unpacked(column).shape == (2, 6, 100)


def test_hits_include_the_bound_and_keep_unknown():
    got = hits(np.array([0.5, 0.4999, 1.0, np.nan]), 0.5)
    np.testing.assert_array_equal(got, [1, 0, 1, np.nan])
    assert hits(np.array([float(np.float32(0.7))]), 0.7)[0] == 1  # as it was stored


def test_the_peak_is_inside_by_the_centre_of_its_pixel():
    image_map = np.zeros((10, 10), np.float32)
    image_map[4, 7] = 0.1
    assert peak_inside(image_map, boxes((0, 0, 2, 2), (7, 4, 8, 5)))
    assert not peak_inside(image_map, boxes((0, 0, 7, 10), (8, 0, 10, 10)))
    assert not peak_inside(image_map * 0, boxes((0, 0, 10, 10)))
