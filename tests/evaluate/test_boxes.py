import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raypipe.evaluate.boxes import THRESHOLDS, best_iou, hits, max_box_acc, threshold_ious
from raypipe.maps import box_ious, component_boxes, foreground, upsampled


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


def test_threshold_ious_of_steps_by_hand():
    # A plateau of 0.5 on 4 x 4 pixels, and a peak of 1 on its upper left 2 x 2.
    image = np.zeros((8, 8), np.float32)
    image[2:6, 2:6] = 0.5
    image[2:4, 2:4] = 1.0
    ious = threshold_ious(image, boxes((2, 2, 4, 4)))
    assert ious.dtype == np.float16
    assert ious.shape == THRESHOLDS.shape == (100,)
    assert (ious[:50] == 0.25).all()  # the plateau's box: 4 of 16 pixels
    assert (ious[50:] == 1.0).all()  # strictly above 0.5: the plateau is gone at 0.50 already


def test_the_largest_component_counts_not_the_hottest():
    image = np.zeros((10, 20), np.float32)
    image[0:2, 0:2] = 1.0
    image[4:8, 10:16] = 0.6
    ious = threshold_ious(image, boxes((0, 0, 2, 2)))
    assert (ious[:60] == 0).all()
    assert (ious[61:] == 1).all()


def test_an_empty_map_never_fits():
    assert not threshold_ious(np.zeros((4, 5), np.float32), boxes((0, 0, 5, 4))).any()


def test_ious_are_stored_rounded_down():
    # 4999 / 10000 would round up to 0.5 in float16, and a miss would become a hit.
    image = np.ones((1, 10000), np.float32)
    assert threshold_ious(image, boxes((0, 0, 4999, 1)))[0] < 0.5
    assert threshold_ious(image, boxes((0, 0, 5000, 1)))[0] == 0.5


def naive(image, truth):
    """One mask, one labelling and one box a threshold, as the definition says."""
    found = [component_boxes(foreground(image, float(share))) for share in THRESHOLDS]
    return [box_ious(each[0], truth).max() if len(each) else 0.0 for each in found]


@given(
    arrays(np.float32, (5, 6), elements=st.sampled_from([0.0, 0.1, 0.3, 0.33, 0.5, 0.9, 1.0])),
    st.floats(0.125, 1.0, width=32),
)
def test_threshold_ious_equal_the_naive_loop(grid, scale):
    image = upsampled(grid * np.float32(scale), 23, 31)
    truth = boxes((3, 4, 17, 15), (20, 0, 31, 9))
    expected = np.array(naive(image, truth))
    got = threshold_ious(image, truth).astype(np.float64)
    assert (got <= expected).all()
    np.testing.assert_allclose(got, expected, atol=1 / 2048)


def test_hits_include_the_bound_and_keep_unknown():
    got = hits(np.array([0.5, 0.4999, 1.0, np.nan]), 0.5)
    np.testing.assert_array_equal(got, [1, 0, 1, np.nan])


def test_a_stored_iou_that_equals_any_bound_is_a_hit():
    image = np.ones((1, 10), np.float32)
    stored = threshold_ious(image, boxes((0, 0, 7, 1)))[:1].astype(np.float64)
    assert hits(stored, 0.7)[0] == 1


def test_one_threshold_serves_the_whole_set_not_each_image():
    ious = np.zeros((3, 100))
    ious[0, 10:40] = 0.8
    ious[1, 30:60] = 0.8
    ious[2, 70:80] = 0.8
    best = max_box_acc(ious, np.zeros(3, np.intp), 1, 0.5)
    assert best.overall == pytest.approx(2 / 3)
    assert best.threshold == 0.3
    best_of_each_image = hits(ious.max(axis=1), 0.5).mean()
    assert best_of_each_image == 1.0  # the common mistake


def test_classes_are_judged_at_the_sets_threshold():
    ious = np.zeros((4, 100))
    ious[0, 20] = ious[1, 20] = ious[2, 20] = 0.6  # 0.20: all of class 0, half of class 1
    ious[3, 90] = 0.6
    ious[2, 90] = 0.6  # 0.90: all of class 1 alone
    best = max_box_acc(ious, np.array([0, 0, 1, 1]), 3, 0.5)
    assert best.threshold == 0.2
    assert best.overall == 0.75
    np.testing.assert_array_equal(best.per_class, [1.0, 0.5, np.nan])


def test_max_box_acc_weighs_classes_not_images():
    ious = np.zeros((5, 100))
    ious[:4, 10] = 1.0  # the four images of class 0
    ious[:3, 20] = ious[4, 20] = 1.0  # three of them, and the one of class 1
    best = max_box_acc(ious, np.array([0, 0, 0, 0, 1]), 2, 0.5)
    assert (best.threshold, best.overall) == (0.2, (0.75 + 1.0) / 2)


def test_max_box_acc_without_any_box_is_unknown():
    best = max_box_acc(np.full((2, 100), np.nan), np.zeros(2, np.intp), 1, 0.5)
    assert np.isnan([best.threshold, best.overall, *best.per_class]).all()
