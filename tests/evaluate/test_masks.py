import numpy as np
import pytest

from raypipe.datasets.truth import ClassMask
from raypipe.evaluate.masks import NOTHING_FOUND, has_pixels, pixel_scores


def mask(values):
    """1 = class, 0 = not, 9 = void."""
    grid = np.array(values)
    return ClassMask(grid == 1, grid != 9)


def test_iou_precision_and_recall_by_hand():
    image = np.array([[1.0, 0.5, 0.21], [0.2, 0.1, 0.0]], np.float32)  # 3 pixels above 0.2
    scores = pixel_scores(image, mask([[1, 1, 0], [1, 1, 0]]), 0.2)
    assert scores.iou == pytest.approx(2 / 5)
    assert scores.precision == pytest.approx(2 / 3)
    assert scores.recall == pytest.approx(2 / 4)


def test_the_threshold_is_a_share_of_the_maps_own_maximum():
    image = np.array([[0.4, 0.1, 0.07]], np.float32)
    assert pixel_scores(image, mask([[1, 1, 0]]), 0.2).iou == 1.0


def test_void_counts_for_nothing():
    image = np.array([[1.0, 1.0, 1.0, 0.0]], np.float32)
    scores = pixel_scores(image, mask([[1, 9, 0, 9]]), 0.2)
    assert (scores.iou, scores.precision, scores.recall) == (0.5, 0.5, 1.0)


@pytest.mark.parametrize("image", [[[0.0, 0.0]], [[0.0, 1.0]]])
def test_nothing_right_is_zero_not_an_error(image):
    assert pixel_scores(np.array(image, np.float32), mask([[1, 0]]), 0.2) == NOTHING_FOUND


def test_a_class_under_void_has_no_pixels():
    assert has_pixels(mask([[1, 0]]))
    assert not has_pixels(ClassMask(np.array([[True]]), np.array([[False]])))
    assert not has_pixels(mask([[0, 9]]))
    assert not has_pixels(None)


def test_void_wins_over_the_class():
    image = np.array([[1.0, 0.0, 1.0]], np.float32)
    truth = ClassMask(np.array([[True, True, False]]), np.array([[True, False, True]]))
    scores = pixel_scores(image, truth, 0.2)
    assert (scores.iou, scores.precision, scores.recall) == (0.5, 0.5, 1.0)
