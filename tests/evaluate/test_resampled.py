"""Every draw of the bootstrap against the same numbers worked out on repeated rows."""

import numpy as np
import pytest

from raypipe.evaluate.paired import DRAWS, REPLICATES, difference, draws
from raypipe.evaluate.resampled import LINEAR, ClassMeans, Sample, best
from raypipe.evaluate.sums import FINE, Sums

GENERATOR = np.random.default_rng(3)
PAIRS = 40
NAMES = [f"image {at}" for at in range(PAIRS)]


def sample():
    linear = GENERATOR.random((PAIRS, len(LINEAR)))
    linear[5] = np.nan  # a pair without truth
    curves = (GENERATOR.random((PAIRS, 4, 100)) > 0.5).astype(np.uint8)
    curves[5] = 0
    return Sample(linear, curves)


def test_draws_are_poisson_and_follow_from_the_name_alone():
    counts = draws(NAMES)
    assert (counts[0] == 1).all()
    assert counts[1:].mean() == pytest.approx(1, abs=0.02)
    assert counts[1:].var() == pytest.approx(1, abs=0.03)
    shares = np.bincount(counts[1:].ravel(), minlength=4)[:4] / counts[1:].size
    assert shares == pytest.approx(np.exp(-1) / np.array([1, 1, 2, 6]), abs=0.01)
    # Neither neighbours in a draw nor draws of an image follow from one another.
    centred = counts[1:].astype(float) - 1
    assert abs((centred[:, :-1] * centred[:, 1:]).mean()) < 0.02
    assert abs((centred[:-1] * centred[1:]).mean()) < 0.02
    np.testing.assert_array_equal(draws(NAMES[7:9]), counts[:, 7:9])


def test_a_draw_is_the_data_with_images_repeated():
    side, counts = sample(), draws(NAMES)
    values = Sums.of(side.linear, counts, FINE).means()
    hits = side.hits(counts).means()
    boxed = np.arange(PAIRS) != 5
    for draw in (0, 1, 17):
        repeated = np.repeat(np.arange(PAIRS)[boxed], counts[draw][boxed])
        np.testing.assert_allclose(values[draw], side.linear[repeated].mean(axis=0), atol=1e-7)
        curves = side.curves[repeated].reshape(len(repeated), -1)
        np.testing.assert_allclose(hits[draw], curves.mean(axis=0))


def test_max_box_acc_is_of_the_pairs_with_boxes_at_the_best_threshold_of_the_set():
    side = sample()
    accuracies, chosen = best(side.hits(draws(NAMES)))
    boxed = np.delete(side.curves, 5, axis=0).mean(axis=0)
    assert accuracies[0, 0] == pytest.approx(boxed[0].max())
    assert accuracies[0, 1] == pytest.approx(boxed[1:].max(axis=1).mean())
    assert chosen[0] == boxed[0].argmax()
    # A class at the set's threshold, not at its own best one.
    values = side.values(chosen)
    np.testing.assert_array_equal(np.delete(values[:, -2], 5), np.delete(
        side.curves[:, 0, chosen[0]], 5))  # fmt: skip
    assert np.isnan(values[5]).all()


def test_a_class_that_a_draw_leaves_out_is_no_zero():
    means = ClassMeans()
    first, second = np.full((2, DRAWS, 9), 0.5)
    second[3] = np.nan
    means.add(first)
    means.add(second + 0.25)
    found = means.means(np.full((DRAWS, 2), 0.9))
    assert (found[0, 0], found[3, 0], found[0, -1]) == (0.625, 0.5, 0.9)


def test_two_equal_sides_differ_by_nothing():
    means = Sums.of(sample().linear, draws(NAMES), FINE).means()[:, 0]
    found = difference(means, means, PAIRS)
    assert (found.difference, found.interval, found.p) == (0.0, (0.0, 0.0), 1.0)


def test_intervals_of_both_sides_hold_their_means():
    a, b = (GENERATOR.normal(mean, 0.1, 1001) for mean in (0.4, 0.6))
    a[0], b[0] = 0.4, 0.6
    found = difference(a, b, 30)
    assert found.a_interval[0] < 0.4 < found.a_interval[1]
    assert found.b_interval[0] < 0.6 < found.b_interval[1]


def test_the_bootstrap_agrees_with_the_normal_approximation():
    generator = np.random.default_rng(1)
    a, b = generator.random(400), generator.random(400) + 0.05
    counts = draws([f"{at}.jpg" for at in range(400)])
    means = Sums.of(np.column_stack([a, b]), counts, FINE).means()
    found = difference(means[:, 0], means[:, 1], 400)
    assert found.difference == pytest.approx((b - a).mean(), abs=1e-7)
    half = 1.96 * (b - a).std() / np.sqrt(400)
    low, high = found.interval
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)
    assert found.p == pytest.approx(0.011, abs=0.03)


def test_one_image_has_no_interval():
    ones = np.ones(1 + REPLICATES)
    assert difference(ones, ones, 1).interval is None
    assert difference(ones * np.nan, ones, 5).a is None
