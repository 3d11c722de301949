"""Truth from COCO's JSON and wsolevaluation's text files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from raypipe.datasets.annotations import read_annotations
from raypipe.datasets.filetruth import FileTruth
from raypipe.errors import InputError

CLASSES = [("n01", "cat"), ("n02", "dog")]
IDS = ["val/a", "val/b", "other/b", "c"]
WIDTH, HEIGHT = 30, 20


def inside(x0, y0, x1, y1):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y0:y1, x0:x1] = True
    return mask


MASK = inside(5, 4, 15, 12)
POLYGON = [5, 4, 15, 4, 15, 12, 5, 12]


def compressed(mask):
    found = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": found["counts"].decode()}


def plain(mask):
    flat = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(np.diff(flat))
    ends = np.concatenate([[0], changes, [mask.size]])
    return {"size": list(mask.shape), "counts": np.diff(ends).tolist()}


def coco_file(folder: Path, annotations, **changes):
    images = [{"id": at, "file_name": name, "width": WIDTH, "height": HEIGHT}
              for at, name in enumerate(("val/a.jpg", "c.png", "nowhere.jpg"))]  # fmt: skip
    categories = [{"id": 7, "name": "Cat"}, {"id": 9, "name": "n02"}, {"id": 11, "name": "cow"}]
    content = {"images": images, "categories": categories, "annotations": annotations} | changes
    (folder / "coco.json").write_text(json.dumps(content))
    return str(folder / "coco.json")


def item(image=0, category=7, **fields):
    return {"id": 1, "image_id": image, "category_id": category, **fields}


def truth_of(path, classes=CLASSES):
    found = read_annotations(path, IDS, classes)
    return FileTruth(found.table, [name for name, _ in classes]), found


@pytest.mark.parametrize("segmentation", [[POLYGON], compressed(MASK), plain(MASK)])
def test_every_kind_of_coco_mask_is_the_same_mask(tmp_path, segmentation):
    truth, _ = truth_of(coco_file(tmp_path, [item(segmentation=segmentation)]))
    found = truth.mask("val/a", "n01")
    np.testing.assert_array_equal(found.inside, MASK)
    assert found.valid.all()
    assert truth.boxes("val/a", "n01").tolist() == [[5, 4, 15, 12]]  # from the mask
    assert truth.size("val/a") == (WIDTH, HEIGHT)


def test_boxes_have_exclusive_ends_and_several_may_be_there(tmp_path):
    boxes = ([1.5, 2, 10, 5], [3, 4, 5, 6])
    truth, _ = truth_of(coco_file(tmp_path, [item(bbox=box) for box in boxes]))
    assert truth.boxes("val/a", "n01").tolist() == [[1.5, 2, 11.5, 7], [3, 4, 8, 10]]
    assert truth.mask("val/a", "n01") is None
    assert truth.labels("val/a") is None
    assert truth.present("val/a") == {"n01"}


def test_a_crowd_is_void_where_no_object_is(tmp_path):
    crowd = inside(10, 0, 30, 20)
    truth, _ = truth_of(coco_file(tmp_path, [
        item(segmentation=compressed(MASK)),
        item(category=9, segmentation=compressed(inside(0, 15, 20, 20))),
        item(segmentation=plain(crowd), bbox=[10, 0, 20, 20], iscrowd=1),
    ]))  # fmt: skip
    assert len(truth.boxes("val/a", "n01")) == 1
    found = truth.mask("val/a", "n01")
    np.testing.assert_array_equal(found.inside, MASK)
    np.testing.assert_array_equal(found.valid, MASK | ~crowd)
    labels = truth.labels("val/a")
    assert [labels[18, 15], labels[5, 12], labels[0, 20], labels[0, 0]] == [2, 1, -1, 0]


def test_what_the_set_does_not_have_is_counted(tmp_path):
    box = [0, 0, 5, 5]
    _, found = truth_of(coco_file(tmp_path, [
        item(bbox=box), item(image=1, category=9, bbox=box), item(image=2, bbox=box),
        item(category=11, bbox=box), item(category=11, bbox=box), item(bbox=[3, 3, 0, 4]),
    ]))  # fmt: skip
    assert found.policy == {"unknown_images": 1, "unknown_classes": 2, "without_area": 1}
    assert found.table["image_id"].to_pylist() == ["c", "val/a"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "not JSON"),
        ("[]", "not COCO's annotations"),
        ('{"images": [{}], "annotations": [], "categories": []}', "lack 'id'"),
        ('{"images": [], "annotations": [], "categories": []}', "none of it is about this set"),
    ],
)
def test_a_file_that_is_no_truth(tmp_path, content, problem):
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(InputError, match=problem):
        read_annotations(str(tmp_path / "t.json"), IDS, CLASSES)
    with pytest.raises(InputError, match="there is no such truth file"):
        read_annotations(str(tmp_path / "none.json"), IDS, CLASSES)
    with pytest.raises(InputError, match="has no localization.txt"):
        read_annotations(str(tmp_path), IDS, CLASSES)


@pytest.mark.parametrize(
    "broken",
    [
        item(image=99, bbox=[0, 0, 1, 1]), item(), item(bbox=[0, 1]), item(bbox=["x"] * 4),
        item(segmentation={"size": [3, 3], "counts": "04"}), [],
    ],
)  # fmt: skip
def test_an_annotation_that_cannot_be_read_is_named(tmp_path, broken):
    with pytest.raises(InputError, match=r"coco.json: annotation \d+ cannot be read"):
        truth_of(coco_file(tmp_path, [broken]))


def test_the_last_part_of_a_name_is_enough_unless_several_have_it(tmp_path):
    images = [{"id": 0, "file_name": "anywhere/a.png"}, {"id": 1, "file_name": "b.jpg"}]
    _, found = truth_of(coco_file(tmp_path, [item(bbox=[0, 0, 1, 1])], images=images))
    assert found.table["image_id"].to_pylist() == ["val/a"]
    with pytest.raises(InputError, match=r"b\.jpg: several images of the set are called b"):
        truth_of(coco_file(tmp_path, [item(image=1, bbox=[0, 0, 1, 1])], images=images))


def wsol(folder: Path, localization, labels="val/a.JPEG,1\nc.JPEG,0\n"):
    (folder / "class_labels.txt").write_text(labels)
    (folder / "image_sizes.txt").write_text("val/a.JPEG,30,20\nc.JPEG,40,10\n")
    (folder / "localization.txt").write_text(localization)
    return str(folder)


def test_boxes_of_wsolevaluation(tmp_path):
    text = "val/a.JPEG,1,2,10,12\nval/a.JPEG,3,4,5,6\nc.JPEG,0,0,4,4\n"
    truth, found = truth_of(wsol(tmp_path, text))
    assert truth.boxes("val/a", "n02").tolist() == [[1, 2, 10, 12], [3, 4, 5, 6]]
    assert (truth.size("c"), found.policy) == ((40, 10), {})


def test_masks_of_wsolevaluation_lie_above_and_are_scaled(tmp_path):
    meta = tmp_path / "metadata" / "test"
    meta.mkdir(parents=True)
    (tmp_path / "masks").mkdir()
    for name, mask in (("m1", inside(0, 0, 10, 20)), ("m2", inside(20, 0, 30, 20)),
                       ("i", inside(5, 0, 15, 20))):  # fmt: skip
        image = Image.fromarray(mask.astype(np.uint8) * 255)
        if name == "m2":
            image = image.resize((15, 10), Image.Resampling.NEAREST)
        image.save(tmp_path / "masks" / f"{name}.png")
    text = "val/a.JPEG,masks/m1.png,masks/i.png\nval/a.JPEG,masks/m2.png,\n"
    truth, _ = truth_of(wsol(meta, text))
    found = truth.mask("val/a", "n02")
    np.testing.assert_array_equal(found.inside, inside(0, 0, 10, 20) | inside(20, 0, 30, 20))
    np.testing.assert_array_equal(found.valid, ~inside(10, 0, 15, 20))
    (tmp_path / "masks" / "m1.png").write_bytes(b"no")
    with pytest.raises(InputError, match=r"m1\.png: the mask cannot be decoded"):
        truth_of(str(meta))[0].mask("val/a", "n02")


@pytest.mark.parametrize(
    ("localization", "labels", "problem"),
    [
        ("val/a.JPEG,1,2,3\n", "val/a.JPEG,1\n", "localization.txt: line 1: 4 cells, not 5 or 3"),
        ("val/a.JPEG,1,2,3,x\n", "val/a.JPEG,1\n", "line 1: 1,2,3,x are not all numbers"),
        ("val/a.JPEG,1,2,3,4\n", "val/a.JPEG,2\n", "class 2, but the set has classes 0 to 1"),
        ("c.JPEG,1,2,3,4\n", "val/a.JPEG,1\n", "class_labels.txt has no c.JPEG"),
        ("val/a.JPEG,m.png,\n", "val/a.JPEG,1\n", "mask m.png is not there, nor in a folder above"),
    ],
)
def test_a_broken_line_is_named(tmp_path, localization, labels, problem):
    with pytest.raises(InputError, match=problem):
        truth_of(wsol(tmp_path, localization, labels))
