"""Every draw of the bootstrap against the same numbers worked out on repeated rows."""

import numpy as np
import pytest

from raypipe.evaluate.paired import difference, pooled
from raypipe.evaluate.resampled import LINEAR, Sample, resample

GENERATOR = np.random.default_rng(3)
PAIRS = 40


def sample():
    linear = GENERATOR.random((PAIRS, len(LINEAR)))
    linear[5] = np.nan  # a pair without truth
    curves = (GENERATOR.random((PAIRS, 4, 100)) > 0.5).astype(np.uint8)
    curves[5] = 0
    return Sample(linear, curves)


def test_a_draw_is_the_data_with_images_repeated():
    side, images = sample(), np.arange(PAIRS) // 2
    counts = np.ones((2, PAIRS // 2), np.uint8)
    counts[1] = GENERATOR.poisson(1.0, PAIRS // 2)
    found = pooled(side.curves.reshape(PAIRS, -1), images, counts)
    repeated = np.repeat(np.arange(PAIRS), counts[1][images])
    np.testing.assert_allclose(found[0], side.curves.reshape(PAIRS, -1).mean(axis=0))
    np.testing.assert_allclose(found[1], side.curves[repeated].reshape(len(repeated), -1).mean(0))


def test_max_box_acc_is_of_the_pairs_with_boxes_at_the_best_threshold_of_the_set():
    first, second = sample(), sample()
    codes, images = np.arange(PAIRS) % 3, np.arange(PAIRS)
    found = resample(first, second, codes, images, np.ones((1, PAIRS), np.uint8))
    boxed = np.delete(second.curves, 5, axis=0).mean(axis=0)
    assert found.overall["max_box_acc"].b == pytest.approx(boxed[0].max())
    assert found.overall["max_box_acc_v2"].b == pytest.approx(boxed[1:].max(axis=1).mean())
    assert found.thresholds[1] == pytest.approx(boxed[0].argmax() / 100)
    # A class at the set's threshold, not at its own best one.
    at = boxed[0].argmax()
    own = [second.curves[(codes == code) & (images != 5), 0].mean(axis=0) for code in range(3)]
    shown = [each["max_box_acc"].b for each in found.per_class]
    assert shown == pytest.approx([curve[at] for curve in own])
    assert shown != pytest.approx([curve.max() for curve in own])


def test_two_equal_sides_differ_by_nothing():
    side = sample()
    counts = np.vstack([np.ones(PAIRS), GENERATOR.poisson(1.0, (200, PAIRS))]).astype(np.uint8)
    found = resample(side, side, np.zeros(PAIRS, np.intp), np.arange(PAIRS), counts)
    for value in found.overall.values():
        assert (value.difference, value.interval, value.p) == (0.0, (0.0, 0.0), 1.0)


def test_intervals_of_both_sides_hold_their_means():
    a, b = (GENERATOR.normal(mean, 0.1, 1001) for mean in (0.4, 0.6))
    a[0], b[0] = 0.4, 0.6
    found = difference(a, b, 30)
    assert found.a_interval[0] < 0.4 < found.a_interval[1]
    assert found.b_interval[0] < 0.6 < found.b_interval[1]
