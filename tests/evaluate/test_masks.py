import numpy as np
import pytest

from raypipe.datasets.truth import ClassMask
from raypipe.evaluate.masks import NOTHING_FOUND, has_pixels, overlaps, pixel_scores
from raypipe.maps import foreground


def mask(values):
    """1 = class, 0 = not, 9 = void."""
    grid = np.array(values)
    return ClassMask(grid == 1, grid != 9)


def test_iou_precision_and_recall_by_hand():
    image = np.array([[1.0, 0.5, 0.21], [0.2, 0.1, 0.0]], np.float32)  # 3 pixels above 0.2
    scores = pixel_scores(foreground(image, 0.2), mask([[1, 1, 0], [1, 1, 0]]))
    assert scores.iou == pytest.approx(2 / 5)
    assert scores.precision == pytest.approx(2 / 3)
    assert scores.recall == pytest.approx(2 / 4)


def test_the_threshold_is_a_share_of_the_maps_own_maximum():
    image = np.array([[0.4, 0.1, 0.07]], np.float32)
    assert pixel_scores(foreground(image, 0.2), mask([[1, 1, 0]])).iou == 1.0


def test_void_counts_for_nothing():
    image = np.array([[1.0, 1.0, 1.0, 0.0]], np.float32)
    scores = pixel_scores(foreground(image, 0.2), mask([[1, 9, 0, 9]]))
    assert (scores.iou, scores.precision, scores.recall) == (0.5, 0.5, 1.0)


@pytest.mark.parametrize("image", [[[0.0, 0.0]], [[0.0, 1.0]]])
def test_nothing_right_is_zero_not_an_error(image):
    assert (
        pixel_scores(foreground(np.array(image, np.float32), 0.2), mask([[1, 0]])) == NOTHING_FOUND
    )


def test_a_class_under_void_has_no_pixels():
    assert has_pixels(mask([[1, 0]]))
    assert not has_pixels(ClassMask(np.array([[True]]), np.array([[False]])))
    assert not has_pixels(mask([[0, 9]]))
    assert not has_pixels(None)


def test_void_wins_over_the_class():
    image = np.array([[1.0, 0.0, 1.0]], np.float32)
    truth = ClassMask(np.array([[True, True, False]]), np.array([[True, False, True]]))
    scores = pixel_scores(foreground(image, 0.2), truth)
    assert (scores.iou, scores.precision, scores.recall) == (0.5, 0.5, 1.0)


def test_overlaps_by_hand():
    truth = np.array([[0, 1, 1, 2], [0, 0, -1, 2]], np.int16)
    predicted = np.array([[0, 1, 0, 1], [1, 0, 1, 0]], np.int16)
    rows = overlaps(predicted, truth, names := ("cat", "dog", "eel"), names)
    found = {row["class"]: (row["shared"], row["predicted"], row["true"]) for row in rows}
    assert found == {"": (2, 4, 3), "cat": (1, 3, 2), "dog": (0, 0, 2)}
