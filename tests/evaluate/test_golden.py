"""MaxBoxAcc, MaxBoxAccV2 and PxAP equal to the published definition with OpenCV's contours."""

import numpy as np
import pytest
from scipy import ndimage

from raypipe.datasets.truth import ClassMask
from raypipe.evaluate.contours import SIDE, contours_at, eight_bits, iou_curves, stretched
from raypipe.evaluate.pxap import average_precision, histograms
from raypipe.maps import upsampled
from tests.evaluate import wsol

pytestmark = pytest.mark.golden

MAPS = 216
GENERATOR = np.random.default_rng(7)


def blobs():
    return upsampled(GENERATOR.random((14, 14)).astype(np.float32) ** 3, SIDE, SIDE)


def smooth_noise():
    return ndimage.gaussian_filter(GENERATOR.random((SIDE, SIDE)), GENERATOR.uniform(1, 8))


def noise():
    small = GENERATOR.random((28, 28))
    return np.kron(small, np.ones((8, 8)))


def plateaus():
    return np.round(blobs() * 3) / 3


def holes():
    y, x = np.mgrid[:SIDE, :SIDE]
    rings = sum(
        np.abs(np.hypot(y - cy, x - cx) - radius) < width
        for cy, cx, radius, width in GENERATOR.uniform((30, 30, 5, 1), (194, 194, 60, 6), (3, 4))
    )
    return rings * (0.5 + 0.5 * smooth_noise())


def lines():
    drawn = np.zeros((SIDE, SIDE))
    for at in GENERATOR.integers(0, SIDE, 4):
        drawn[at, GENERATOR.integers(0, 100) : GENERATOR.integers(120, SIDE)] = GENERATOR.random()
        drawn[GENERATOR.integers(0, 100) : GENERATOR.integers(120, SIDE), at] = GENERATOR.random()
    return drawn


def border():
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.maximum(np.abs(y - 112), np.abs(x - GENERATOR.integers(60, 160))).astype(float)


def points():
    """Single pixels, equal ones too: contours without any area, and ties."""
    return (GENERATOR.random((SIDE, SIDE)) > 0.999) * GENERATOR.integers(1, 4, (SIDE, SIDE)) / 3.0


def twins():
    """Equal squares side by side and above each other: which is the largest is a tie."""
    drawn = np.zeros((SIDE, SIDE))
    for row, col in GENERATOR.integers(0, 20, (6, 2)) * 11:
        drawn[row : row + 9, col : col + 9] = 1.0
    return drawn


MAKERS = (blobs, smooth_noise, noise, plateaus, holes, lines, border, points, twins)


@pytest.fixture(scope="module")
def maps():
    made = [MAKERS[index % len(MAKERS)]().astype(np.float32) for index in range(MAPS - 2)]
    constant = np.zeros((SIDE, SIDE), np.float32)
    return [stretched(image_map) for image_map in (*made, constant, constant + 1)]


@pytest.fixture(scope="module")
def truths(maps):
    """Return true boxes near a contour of each map, so that many of them are hit."""
    made = []
    for index, image_map in enumerate(maps):
        found = wsol.boxes_at(image_map, GENERATOR.choice(wsol.THRESHOLDS), every=index % 2 == 0)
        near = found[GENERATOR.integers(0, len(found), 1 + index % 3)]
        jitter = GENERATOR.integers(-12, 13, near.shape)
        low, high = np.split(near + jitter, 2, axis=1)
        low = np.clip(low, 0, SIDE - 30)
        made.append(np.hstack([low, np.clip(high, low + 5, SIDE)]))
    return made


def test_every_box_at_every_threshold_is_that_of_opencv(maps):
    for image_map in maps[::6]:
        found, which = contours_at(eight_bits(image_map))
        masks = [mask for item in found for mask in zip(item.largest, item.every, strict=True)]
        for index, share in enumerate(wsol.THRESHOLDS):
            largest, every = masks[which[index]]
            expected = wsol.boxes_at(image_map, share, every=True)
            assert sorted(every.tolist()) == sorted(expected.tolist())
            np.testing.assert_array_equal([largest], wsol.boxes_at(image_map, share, every=False))


def test_max_box_accs_are_those_of_the_definition(maps, truths):
    curves = np.array(
        [iou_curves(eight_bits(each), truth) for each, truth in zip(maps, truths, strict=True)]
    )
    for version, every in enumerate((False, True)):
        expected = wsol.max_box_accs(maps, truths, every=every)
        ours = [(curves[:, version] >= delta).mean(axis=0).max() for delta in wsol.DELTAS]
        np.testing.assert_allclose(ours, expected, atol=1e-6)
    assert len(maps) >= 200
    assert 0.05 < expected[2] < expected[0] < 0.95  # neither all hits nor all misses


def test_pxap_is_that_of_the_definition(maps):
    masks = GENERATOR.choice([0, 1, 255], (MAPS, SIDE, SIDE), p=[0.6, 0.3, 0.1])
    masks[:, 50:150, 60:160] = 1
    counts = sum(
        histograms(each, ClassMask(mask == 1, mask != 255))
        for each, mask in zip(maps, masks, strict=True)
    )
    assert average_precision(counts) == pytest.approx(wsol.pxap(maps, masks), abs=1e-6)
