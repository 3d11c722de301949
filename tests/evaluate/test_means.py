import numpy as np

from raypipe.evaluate.means import class_means, overall


def test_images_first_then_classes_and_unknown_left_out():
    values = np.array([1.0, 0.0, 0.0, 1.0, np.nan])
    means = class_means(values, np.array([0, 0, 0, 1, 1]), 3)
    np.testing.assert_array_equal(means, [1 / 3, 1.0, np.nan])
    assert overall(means) == (1 / 3 + 1.0) / 2


def test_rows_of_values():
    values = np.array([[1.0, 0.0], [np.nan, np.nan], [0.0, 0.0]])
    means = class_means(values, np.array([1, 0, 1]), 2)
    np.testing.assert_array_equal(means, [[np.nan, np.nan], [0.5, 0.0]])
    np.testing.assert_array_equal(overall(means), [0.5, 0.0])


def test_nothing_at_all_is_unknown():
    assert np.isnan(overall(class_means(np.empty(0), np.empty(0, np.intp), 2)))
