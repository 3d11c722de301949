import numpy as np
import pytest
from PIL import Image

from raypipe.datasets.truth import Truth
from raypipe.errors import InputError
from raypipe.evaluate.boxes import NO_HITS
from raypipe.evaluate.measure import detection_rows, measure, misses
from raypipe.tables import DETECTIONS, IMAGES, METRICS

BOAT, DOG = "boat", "<script>dog"
LEFT, RIGHT, ALL = (0, 0, 20, 20), (20, 0, 40, 20), (0, 0, 40, 20)


def measured(scene, *rows):
    scene.write()
    return measure(DETECTIONS.build(rows), Truth(scene.run, "val"), 0.2)[0].to_pylist()


def test_a_row_holds_every_metric_of_its_detection(scene, detection):
    (row,) = measured(scene, detection("one", BOAT, "plain", ALL))
    assert (row["image_id"], row["class"], row["rule"]) == ("one", BOAT, "plain")
    assert row["box_iou"] == 0.5
    # A constant map has no contour at all, whatever its value: it is stretched to 0.
    assert row["box_hits"] == NO_HITS
    # 400 true pixels; 800 predicted, of which 200 are void.
    assert (row["iou"], row["recall"]) == (pytest.approx(400 / 600), 1.0)
    assert row["precision"] == pytest.approx(400 / 600)


def test_no_truth_of_a_kind_is_null_of_that_kind(scene, detection):
    boxed, unknown = measured(
        scene,
        detection("two", BOAT, "plain", RIGHT),
        detection("three", DOG, "plain", ALL),
    )
    assert boxed["box_iou"] == 0.0  # a difficult box is truth all the same
    assert [boxed[name] for name in ("iou", "precision", "recall")] == [None] * 3
    assert [unknown[name] for name in ("box_iou", "box_hits", "iou")] == [None] * 3


def test_a_detection_without_boxes_scores_zero(scene, detection):
    (row,) = measured(scene, detection("one", BOAT, "plain", (0, 0, 0, 0)))
    assert (row["box_iou"], row["iou"], row["precision"]) == (0.0, 0.0, 0.0)
    assert (row["box_hits"], row["peak_inside"]) == (NO_HITS, False)


def test_a_mask_of_another_size_is_refused(scene, detection, tmp_path):
    Image.new("L", (10, 10), 1).save(tmp_path / "mask.png")
    with pytest.raises(InputError, match="one: its mask has 10 x 10 pixels, the image 40 x 20"):
        measured(scene, detection("one", BOAT, "plain", LEFT))


def test_rows_give_maps_and_boxes_as_arrays(detection):
    (row,) = detection_rows(DETECTIONS.build([detection("one", BOAT, "plain", LEFT)]))
    assert row["map"].dtype == np.float32
    assert row["map"].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0]]
    assert row["boxes"].tolist() == [[0, 0, 20, 20]]


def test_pairs_without_a_detection_count_as_zero_and_only_once(scene):
    scene.write()
    found = METRICS.build(
        {"image_id": image_id, "class": name, "rule": rule, "fallback": False}
        for image_id, name in (("two", BOAT), ("two", DOG), ("four", BOAT))
        for rule in ("plain", "classify")
        if (image_id, rule) != ("four", "classify")
    )
    rows, pools, pairs = misses(
        IMAGES.build(scene.images), found, Truth(scene.run, "val"), ("plain", "classify")
    )
    assert pairs == 2  # `three` has no truth, so nothing is missing there
    keys = [(row["image_id"], row["rule"]) for row in rows.to_pylist()]
    assert keys == [("one", "plain"), ("one", "classify"), ("four", "classify")]
    one, _, four = rows.to_pylist()
    assert (one["box_iou"], one["iou"], four["box_iou"], four["iou"]) == (0.0, 0.0, 0.0, None)
    assert (four["box_hits"], four["peak_inside"]) == (NO_HITS, False)
    # A mask that was never found lies at the lowest score; its void quarter is left out.
    (first, second) = pools.table().to_pylist()
    assert (first["rule"], second["rule"]) == ("classify", "plain")
    assert (first["inside"][0], first["outside"][0]) == (224 * 112, 112 * 112)
