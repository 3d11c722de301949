import numpy as np
import pytest
from PIL import Image

from raypipe.datasets.truth import IndexTruth
from raypipe.evaluate.boxes import NO_HITS
from raypipe.evaluate.measure import measure
from raypipe.evaluate.predictions import Detections
from raypipe.storage.detections import detection_rows
from raypipe.tables import DETECTIONS, OVERLAPS, PIXELS

BOAT, DOG = "boat", "<script>dog"
LEFT, RIGHT, ALL = (0, 0, 20, 20), (20, 0, 40, 20), (0, 0, 40, 20)


def measured(scene, *rows, rules=("plain",), ranks=None):
    """Return what is measured, and its rows by image, class and rule."""
    scene.write()
    table = DETECTIONS.build(rows)
    sources = {rule: Detections(table, rule) for rule in rules}
    found = measure(scene.images, sources, IndexTruth.of(scene.run, "val"), 0.2, ranks)
    return found, {(row["image_id"], row["class"], row["rule"]): row for row in found.rows}


def test_a_row_holds_every_metric_of_its_detection(scene, detection):
    _, rows = measured(scene, detection("one", BOAT, "plain", ALL))
    row = rows["one", BOAT, "plain"]
    assert (row["box_iou"], row["rank"], row["notes"]) == (0.5, 1, [])
    # A constant map has no contour at all, whatever its value: it is stretched to 0.
    assert row["box_hits"] == NO_HITS
    # 400 true pixels; 800 predicted, of which 200 are void.
    assert (row["iou"], row["recall"]) == (pytest.approx(400 / 600), 1.0)
    assert row["precision"] == pytest.approx(400 / 600)


def test_no_truth_of_a_kind_is_null_of_that_kind(scene, detection):
    _, rows = measured(
        scene,
        detection("two", BOAT, "plain", RIGHT),
        detection("three", DOG, "plain", ALL),
    )
    boxed, unknown = rows["two", BOAT, "plain"], rows["three", DOG, "plain"]
    assert boxed["box_iou"] == 0.0  # a difficult box is truth all the same
    assert [boxed[name] for name in ("iou", "precision", "recall")] == [None] * 3
    assert [unknown[name] for name in ("box_iou", "box_hits", "iou")] == [None] * 3
    assert unknown["notes"] == ["without_truth"]


def test_a_detection_without_boxes_scores_zero(scene, detection):
    _, rows = measured(scene, detection("one", BOAT, "plain", (0, 0, 0, 0)))
    row = rows["one", BOAT, "plain"]
    assert (row["box_iou"], row["iou"], row["precision"]) == (0.0, 0.0, 0.0)
    assert (row["box_hits"], row["peak_inside"]) == (NO_HITS, False)


def test_a_mask_of_the_same_shape_is_scaled_another_one_judges_nothing(scene, detection, tmp_path):
    row = detection("one", BOAT, "plain", ALL)
    whole = measured(scene, row)[1]["one", BOAT, "plain"]
    with Image.open(tmp_path / "mask.png") as mask:
        small, turned = mask.resize((20, 10), 0), mask.transpose(Image.Transpose.ROTATE_90)
    small.save(tmp_path / "mask.png")
    half = measured(scene, row)[1]["one", BOAT, "plain"]
    assert half["notes"] == ["resized"]
    assert (half["box_iou"], half["iou"]) == (whole["box_iou"], whole["iou"])
    turned.save(tmp_path / "mask.png")
    found, rows = measured(scene, row)
    other = rows["one", BOAT, "plain"]
    assert (other["box_iou"], other["iou"], other["notes"]) == (0.5, None, ["other_size"])
    assert not found.overlaps


def test_an_empty_mask_and_several_boxes_are_noted(scene, detection, tmp_path):
    Image.new("L", (40, 20), 0).save(tmp_path / "mask.png")
    scene.boxes += [scene.boxes[0] | {"x0": 20.0, "x1": 40.0}]
    _, rows = measured(scene, detection("one", BOAT, "plain", RIGHT))
    row = rows["one", BOAT, "plain"]
    assert (row["box_iou"], row["iou"]) == (1.0, None)  # any of the boxes may be found
    assert row["notes"] == ["empty_mask", "several_boxes"]


def test_truth_of_a_class_that_is_no_label_is_noted(scene, detection):
    scene.images[0]["classes"] = [DOG]
    _, rows = measured(scene, detection("one", DOG, "plain", LEFT))
    assert rows["one", BOAT, "plain"]["notes"] == ["unlabelled"]
    assert rows["one", BOAT, "plain"]["box_iou"] is None


def test_an_image_without_labels_is_judged_by_what_was_found_in_it(scene, detection):
    scene.images[0]["classes"] = []
    _, rows = measured(scene, detection("one", BOAT, "plain", LEFT))
    assert rows["one", BOAT, "plain"]["box_iou"] == 1.0


def test_ranks_come_from_the_network_or_from_a_file(scene, detection):
    row = detection("one", BOAT, "plain", LEFT) | {"rank": 4}
    _, rows = measured(scene, row)
    assert rows["one", BOAT, "plain"]["rank"] == 4
    assert rows["two", BOAT, "plain"]["rank"] == 0  # nothing was detected
    _, rows = measured(scene, row, ranks={("two", BOAT): 2})
    assert (rows["one", BOAT, "plain"]["rank"], rows["two", BOAT, "plain"]["rank"]) == (0, 2)


def test_each_pixel_has_one_class_the_one_whose_map_is_highest(scene, detection, tmp_path):
    truth = np.zeros((20, 40), np.uint8)
    truth[:, :20], truth[:, 20:] = 1, 2
    Image.fromarray(truth).save(tmp_path / "mask.png")
    scene.classes[1]["mask_value"] = 2
    scene.images[0]["classes"] = [BOAT, DOG]
    boat = detection("one", BOAT, "plain", ALL)
    dog = detection("one", DOG, "plain", RIGHT)
    dog["map"] = dog["map"] * np.float16(0.9)
    found, _ = measured(scene, boat, dog)
    counts = {row["class"]: (row["shared"], row["predicted"], row["true"])
              for row in OVERLAPS.build(found.overlaps).to_pylist()}  # fmt: skip
    assert counts == {"": (0, 0, 0), BOAT: (400, 800, 400), DOG: (0, 0, 400)}


def test_rows_give_maps_and_boxes_as_arrays(detection):
    (row,) = detection_rows(DETECTIONS.build([detection("one", BOAT, "plain", LEFT)]))
    assert row["map"].dtype == np.float32
    assert row["map"].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0]]
    assert row["boxes"].tolist() == [[0, 0, 20, 20]]


def test_pairs_without_a_detection_count_as_zero(scene, detection):
    found, rows = measured(
        scene,
        *(detection(image_id, name, rule, LEFT)
          for image_id, name in (("two", BOAT), ("two", DOG), ("four", BOAT))
          for rule in ("plain", "classify")
          if (image_id, rule) != ("four", "classify")),
        rules=("plain", "classify"),
    )  # fmt: skip
    missing = [key for key, row in rows.items() if "missing" in row["notes"]]
    assert missing == [("one", BOAT, "plain"), ("one", BOAT, "classify"),
                       ("three", DOG, "plain"), ("three", DOG, "classify"),
                       ("four", BOAT, "classify")]  # fmt: skip
    one, four = rows["one", BOAT, "plain"], rows["four", BOAT, "classify"]
    assert (one["box_iou"], one["iou"], four["box_iou"], four["iou"]) == (0.0, 0.0, 0.0, None)
    assert (four["box_hits"], four["peak_inside"]) == (NO_HITS, False)
    assert rows["three", DOG, "plain"]["peak_inside"] is None  # no truth, nothing is missed
    # A mask that was never found lies at the lowest score; its void quarter is left out.
    metrics, pixels, overlaps = found.tables()
    assert metrics.num_rows == len(rows)
    (first, second) = PIXELS.check(pixels, "pixels").to_pylist()
    assert (first["rule"], second["rule"]) == ("plain", "classify")
    assert (first["inside"][0], first["outside"][0]) == (224 * 112, 112 * 112)
    assert {row["predicted"] for row in overlaps.to_pylist() if row["class"] == BOAT} == {0}
