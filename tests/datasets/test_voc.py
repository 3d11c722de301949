"""A VOC tree: classes, boxes, masks and splits, and what is wrong with some trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.config import DatasetConfig
from raypipe.datasets.base import Box
from raypipe.datasets.pascal import read_boxes
from raypipe.datasets.voc import VOC_CLASSES, Voc
from raypipe.errors import InputError
from raypipe.storage.location import Location


def xml(*objects: tuple[str, int, int, int, int], extra: str = "") -> str:
    """Return an annotation; its corners count pixels from 1, the last inclusive."""
    inner = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>{extra}</object>"
        for name, x0, y0, x1, y1 in objects
    )
    return f"<annotation><size><width>9</width></size>{inner}</annotation>"


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def make(root: Path, images: dict[str, str | None], splits: dict[str, str]) -> Path:
    """Write a tree of images by annotation (None: it has no file) and split lists by content."""
    (root / "JPEGImages").mkdir(parents=True)
    for name, content in images.items():
        write(root / "JPEGImages" / f"{name}.jpg")
        if content is not None:
            write(root / "Annotations" / f"{name}.xml", content)
    for name, lines in splits.items():
        write(root / "ImageSets" / "Main" / f"{name}.txt", lines)
    return root


def opened(root: Path, **config: str) -> Voc:
    return Voc(DatasetConfig(**config), Location.of(str(root)))


ONE = {"i1": xml(("train", 1, 1, 4, 2), ("boat", 2, 3, 2, 3)), "i2": xml(("boat", 1, 1, 9, 9))}


@pytest.fixture
def root(tmp_path) -> Path:
    return make(tmp_path / "voc", dict(ONE), {"train": "i2\ni1\n", "val": "i1 1\n\n"})


def test_images_come_in_the_order_of_the_list(root) -> None:
    write(root / "SegmentationClass" / "i2.png")
    two, one = opened(root).images("train")
    assert (two.image_id, two.uri) == ("i2", f"{root}/JPEGImages/i2.jpg")
    assert two.mask_uri == f"{root}/SegmentationClass/i2.png"
    assert one.mask_uri is None
    assert one.classes == ("boat", "train"), "in the order of the classes, not of the boxes"


def test_boxes_count_from_0_and_end_exclusive(root) -> None:
    (record,) = opened(root).images("val")
    assert record.boxes == (Box("train", 0, 0, 4, 2), Box("boat", 1, 2, 2, 3))


def test_the_first_pixel_is_the_formats_own() -> None:
    content = xml(("a", 0, 0, 0, 0)).encode()
    assert read_boxes(content, "f", first=0) == (Box("a", 0, 0, 1, 1),)
    assert read_boxes(content, "f", first=1) == (Box("a", -1, -1, 0, 0),)


def test_fractions_difficult_objects_and_their_parts() -> None:
    part = (
        "<difficult>1</difficult><part><name>head</name><bndbox><xmin>1</xmin>"
        "<ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    )
    content = xml(("person", 3, 3, 8, 8), extra=part).replace("<xmin>3", "<xmin> 3.5")
    assert read_boxes(content.encode(), "f", first=1) == (Box("person", 2.5, 2, 8, 8, True),)


def test_classes_of_the_challenge_keep_its_mask_values(root) -> None:
    found = [(item.name, item.mask_value) for item in opened(root).classes()]
    assert found == [("boat", 4), ("train", 19)]
    assert VOC_CLASSES[4 - 1] == "boat"


def test_other_classes_are_sorted_and_have_no_mask_values(tmp_path) -> None:
    root = make(tmp_path, {"i": xml(("zebra", 1, 1, 2, 2), ("boat", 1, 1, 2, 2))}, {"train": "i"})
    assert [(item.name, item.mask_value) for item in opened(root).classes()] == [
        ("boat", None), ("zebra", None),
    ]  # fmt: skip


def test_labels_txt_gives_names_and_mask_values(root) -> None:
    write(root / "labels.txt", "background\r\ntrain\r\n\r\nghost\r\nboat\r\n")
    dataset = opened(root)
    assert [(item.name, item.mask_value) for item in dataset.classes()] == [
        ("train", 1), ("ghost", 2), ("boat", 3),
    ]  # fmt: skip
    assert next(dataset.images("val")).classes == ("train", "boat")


def test_a_tree_without_classes_names_the_remedy(tmp_path) -> None:
    root = make(tmp_path, {"i": None}, {"train": "i"})
    with pytest.raises(InputError, match="no classes") as caught:
        opened(root).classes()
    assert "labels.txt" in caught.value.remedy


def test_an_image_without_annotation_has_no_labels(root) -> None:
    write(root / "JPEGImages" / "i3.png")
    write(root / "ImageSets" / "Main" / "more.txt", "i3\ni4\n")
    three, four = opened(root).images("more")
    assert (three.classes, three.boxes) == ((), ())
    assert three.uri.endswith("i3.png")
    assert four.uri.endswith("i4.jpg"), "listed but not there: found missing when it is read"


@pytest.mark.parametrize("below", ["", "VOC2012", "VOCdevkit", "VOCdevkit/VOC2007"])
def test_the_tree_is_found_where_archives_put_it(tmp_path, below) -> None:
    make(tmp_path / "root" / below, dict(ONE), {"train": "i1\n"})
    write(tmp_path / "root" / "notes" / "readme.txt")
    assert [item.image_id for item in opened(tmp_path / "root").images("train")] == ["i1"]


def test_several_years_must_be_told_apart(tmp_path) -> None:
    for year in ("VOC2007", "VOC2012"):
        make(tmp_path / "VOCdevkit" / year, dict(ONE), {})
    with pytest.raises(InputError, match="several VOC trees") as caught:
        opened(tmp_path)
    assert "VOC2007, VOC2012" in caught.value.remedy


def test_another_folder_is_no_voc_tree(tmp_path) -> None:
    with pytest.raises(InputError, match="no JPEGImages folder"):
        opened(tmp_path)


def test_a_missing_split_is_named_with_those_there_are(root) -> None:
    write(root / "ImageSets" / "Main" / "boat_train.txt", "i1 1")
    with pytest.raises(InputError, match="no split 'test'") as caught:
        list(opened(root).images("test"))
    assert caught.value.remedy == "--split is one of train, val"


BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>
<annotation><object><name>&b;</name></object></annotation>"""
OUTSIDE = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<annotation><object><name>&x;</name></object></annotation>"""


@pytest.mark.parametrize(
    "content",
    ["", "<annotation>", "not xml", BOMB, OUTSIDE, '<?xml version="1.0" encoding="nonsense"?><a/>',
     "<a><object/></a>", "<a><object><name>x</name></object></a>",
     xml(("", 1, 1, 2, 2)), xml(("x", 1, 1, 2, 2)).replace("<ymax>2</ymax>", ""),
     xml(("x", 1, 1, 2, 2)).replace("<ymax>2", "<ymax>two")],
)  # fmt: skip
def test_a_broken_or_hostile_annotation_is_named(root, content) -> None:
    write(root / "Annotations" / "i2.xml", content)
    with pytest.raises(InputError, match=r"Annotations/i2\.xml: not a") as caught:
        list(opened(root).images("train"))
    assert caught.value.remedy == "restore or remove it"
    assert "\n" not in caught.value.message
