import numpy as np
import pytest

from raypipe.config import MasksConfig
from raypipe.masks.masks import crf_masks, exponent, unary
from raypipe.masks.thresholds import threshold_masks

GRID = np.array([[0.0, 0.1, 0.5], [0.2, 1.0, 0.4]], np.float32)
NO_PAIRS = MasksConfig(crf=True, bilateral=0, smoothness=0)


def test_without_pairwise_terms_the_crf_gives_the_threshold_s_mask():
    image = np.zeros((20, 30, 3), np.uint8)
    found = crf_masks([GRID], image, NO_PAIRS)
    expected = threshold_masks([GRID], 20, 30, 0.2)
    assert 0 < expected.sum() < expected.size
    assert (found == expected).mean() > 0.99


def test_classes_of_an_image_share_its_pixels_and_an_empty_map_has_none():
    image = np.zeros((20, 30, 3), np.uint8)
    found = crf_masks([GRID, np.zeros_like(GRID), GRID[:, ::-1]], image, NO_PAIRS)
    assert found.sum(0).max() == 1
    assert [bool(mask.any()) for mask in found] == [True, False, True]


def test_the_unary_is_a_distribution_and_the_threshold_is_even_odds():
    maps = np.array([[[0.0, 0.2, 1.0]]], np.float32)
    chances = np.exp(-unary(maps, MasksConfig(floor=1e-5)))
    assert chances.sum(0) == pytest.approx(1)
    assert chances[1, 0] == pytest.approx([1e-5, 0.5, 1 - 1e-5], abs=1e-6)
    assert exponent(MasksConfig(exponent=2)) == 2
