"""Each format is read by the packages that own it, and compared with what was written."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import supervision
import yaml
from datasets import ClassLabel, load_dataset
from PIL import Image
from pycocotools.coco import COCO

from raypipe import rle
from raypipe.cells import unprotected
from raypipe.datasets.pascal import read_boxes
from raypipe.errors import InputError
from raypipe.export import coco, csvfile, huggingface, voc, yolo
from raypipe.export.names import stem
from raypipe.export.records import ExportImage
from raypipe.storage.location import Location
from tests.export.samples import CLASSES, NASTY, boxes_of, some_images
from tests.s3 import Store

pytestmark = pytest.mark.golden
NAMES = [name for name, _ in CLASSES]
Box = tuple[str, str, list[float]]


@pytest.fixture
def images(tmp_path: Path) -> list[ExportImage]:
    return some_images(tmp_path)


@pytest.fixture
def out(tmp_path: Path) -> Location:
    return Location.of(str(tmp_path / "out"))


# -- COCO -----------------------------------------------------------------------------------------


def loaded(out: Location) -> COCO:
    return COCO(f"{out.path}/annotations.json")


def of_coco(dataset: COCO) -> Iterator[Box]:
    for item in dataset.loadAnns(dataset.getAnnIds()):
        x, y, width, height = item["bbox"]
        image, kind = dataset.imgs[item["image_id"]], dataset.cats[item["category_id"]]
        yield image["file_name"], kind["name"], [x, y, x + width, y + height]


def test_coco_holds_every_box_and_mask(images, out) -> None:
    counts = coco.write(images, CLASSES, out)
    dataset = loaded(out)
    assert list(of_coco(dataset)) == list(boxes_of(images))
    assert counts == {"images": 3, "boxes": 4, "masks": 4}
    assert [(item["width"], item["height"]) for item in dataset.dataset["images"]] == [
        (image.width, image.height) for image in images
    ]
    whole = {
        (image.image_id, found.name): rle.decode(found.counts, image.height, image.width)
        for image in images for found in image.detections if found.counts
    }  # fmt: skip
    for item in dataset.loadAnns(dataset.getAnnIds()):
        image = dataset.imgs[item["image_id"]]
        mask = dataset.annToMask(item).astype(bool)
        x, y, width, height = (round(side) for side in item["bbox"])
        inside = np.zeros_like(mask)
        inside[y : y + height, x : x + width] = True
        key = image["file_name"], dataset.cats[item["category_id"]]["name"]
        assert item["area"] == mask.sum() > 0
        assert not (mask & ~inside).any()
        assert (mask == (whole[key] & inside)).mean() > 0.98, "but for pixels cut at a half"


def test_coco_ids_are_unique_and_from_one(images, out) -> None:
    coco.write(images, CLASSES, out)
    content = loaded(out).dataset
    for kind in ("images", "annotations", "categories"):
        assert [item["id"] for item in content[kind]] == list(range(1, len(content[kind]) + 1))


def test_coco_results_are_those_of_the_dataset(images, out) -> None:
    coco.write(images, CLASSES, out)
    dataset = loaded(out)
    results = dataset.loadRes(f"{out.path}/results.json")
    assert list(of_coco(results)) == list(boxes_of(images))
    scores = [found.score for image in images for found in image.detections for _ in found.boxes]
    assert [item["score"] for item in results.loadAnns(results.getAnnIds())] == scores


def test_coco_without_masks_and_without_anything(images, out, tmp_path) -> None:
    coco.write(some_images(tmp_path, masked=False)[:1], CLASSES, out)
    assert not any("segmentation" in a for a in loaded(out).dataset["annotations"])
    empty = coco.write([], CLASSES, out)
    assert empty == {"images": 0, "boxes": 0, "masks": 0}
    assert loaded(out).dataset["annotations"] == []


# -- Pascal VOC -----------------------------------------------------------------------------------


def rounded(boxes: Iterator[Box]) -> list[Box]:
    return [(image, name, [float(np.floor(side + 0.5)) for side in box])
            for image, name, box in boxes]  # fmt: skip


def test_voc_boxes_come_back_through_our_own_reader(images, out) -> None:
    voc.write(images, CLASSES, out)
    names = {stem(image.image_id): image.image_id for image in images}
    listed = (out / "ImageSets/Main/default.txt").read_text().split()
    assert [names[name] for name in listed] == [image.image_id for image in images]
    found = [
        (names[name], box.name, [box.x0, box.y0, box.x1, box.y1])
        for name in listed
        for box in read_boxes((out / "Annotations" / f"{name}.xml").read_bytes(), name, first=1)
    ]
    assert found == rounded(boxes_of(images))


def test_voc_is_read_by_supervision(images, out) -> None:
    voc.write(images, CLASSES, out, copy_images=True)
    dataset = supervision.DetectionDataset.from_pascal_voc(
        images_directory_path=f"{out.path}/JPEGImages",
        annotations_directory_path=f"{out.path}/Annotations",
    )
    assert len(dataset) == 3
    boxes = [
        sorted(detections.xyxy.tolist()) for _, _, detections in dataset if len(detections)
    ]  # supervision keeps 1-based corners as they are, less one
    assert sum(len(found) for found in boxes) == 4
    assert set(dataset.classes) == {"cat", NASTY, "n01440764"}


def test_voc_masks_are_palette_pngs_of_the_class_numbers(images, out) -> None:
    counts = voc.write(images, CLASSES, out)
    assert counts["masks"] == 2
    names = (out / "labels.txt").read_text().splitlines()
    assert names == ["background", *NAMES]
    with Image.open(f"{out.path}/SegmentationClass/{stem(images[1].image_id)}.png") as picture:
        assert picture.mode == "P"
        values = np.asarray(picture)
        colours = np.array(picture.getpalette()).reshape(-1, 3)
    whole = rle.decode(images[1].detections[0].counts, images[1].height, images[1].width)
    assert (values == np.where(whole, names.index("n01440764"), 0)).all()
    assert colours[[0, 1, 2, 15]].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128]]


def test_voc_masks_of_too_many_classes_are_refused(images, out) -> None:
    many = [*CLASSES, *((f"c{number}", "") for number in range(300))]
    with pytest.raises(InputError, match="303 classes"):
        voc.write(images, many, out)


# -- YOLO -----------------------------------------------------------------------------------------


def test_yolo_is_read_by_supervision(images, out) -> None:
    yolo.write(images, CLASSES, out, copy_images=True)
    assert yaml.safe_load((out / "data.yaml").read_text())["names"] == dict(enumerate(NAMES))
    (out / "plain.yaml").write_bytes(json.dumps({"names": NAMES, "nc": len(NAMES)}).encode())
    dataset = supervision.DetectionDataset.from_yolo(
        images_directory_path=f"{out.path}/images",
        annotations_directory_path=f"{out.path}/labels",
        data_yaml_path=f"{out.path}/plain.yaml",
    )
    names = {stem(image.image_id): image.image_id for image in images}
    found = [
        (names[Path(path).stem], dataset.classes[kind], box)
        for path, _, detections in dataset
        for kind, box in zip(detections.class_id, detections.xyxy.tolist(), strict=True)
    ]
    expected = sorted(boxes_of(images))
    assert [item[:2] for item in sorted(found)] == [item[:2] for item in expected]
    for (_, _, box), (_, _, meant) in zip(sorted(found), expected, strict=True):
        np.testing.assert_allclose(box, meant, atol=1e-3)


def test_yolo_has_a_file_for_an_image_with_nothing(images, out) -> None:
    yolo.write(images, CLASSES, out)
    assert (out / "labels" / f"{stem(images[2].image_id)}.txt").read_text() == ""
    rows = list(csv.DictReader((out / "images.csv").read_text().splitlines()))
    assert [unprotected(row["image_id"]) for row in rows] == [image.image_id for image in images]


# -- Hugging Face ---------------------------------------------------------------------------------


@pytest.mark.parametrize("embedded", [False, True])
def test_hugging_face_types_and_values(embedded, images, out, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(huggingface, "ROWS", 20)
    counts = huggingface.write(images, CLASSES, out, copy_images=embedded)
    assert counts["files"] == (2 if embedded else 1)
    dataset = load_dataset(
        "parquet", data_files=f"{out.path}/data/*.parquet", split="train",
        cache_dir=str(tmp_path / "cache"),
    )  # fmt: skip
    kind = dataset.features["objects"]["category"].feature
    assert isinstance(kind, ClassLabel)
    assert kind.names == NAMES
    found = [
        (row["image_id"], kind.int2str(number), [x, y, x + width, y + height])
        for row in dataset
        for number, (x, y, width, height) in zip(
            row["objects"]["category"], row["objects"]["bbox"], strict=True
        )
    ]  # fmt: skip
    assert found == list(boxes_of(images))
    assert [row["image"].size for row in dataset] == [(i.width, i.height) for i in images]


# -- CSV ------------------------------------------------------------------------------------------


def test_csv_holds_every_box_and_detections_without(images, out) -> None:
    counts = csvfile.write(images, CLASSES, out)
    rows = list(csv.DictReader((out / "boxes.csv").read_text().splitlines()))
    found = [
        (unprotected(row["image_id"]), unprotected(row["class"]),
         [float(row[side]) for side in ("x0", "y0", "x1", "y1")])
        for row in rows if row["x0"]
    ]  # fmt: skip
    assert found == list(boxes_of(images))
    assert len(rows) == counts["boxes"] + 1, "one detection has no box"


def test_csv_cells_do_not_run(images, out) -> None:
    hostile = [ExportImage("=1+1", "x.png", 8, 8, images[0].detections[:1])]
    csvfile.write(hostile, CLASSES, out)
    assert "'=1+1" in (out / "boxes.csv").read_text()


# -- places and names -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", [coco, csvfile, voc, yolo, huggingface])
def test_a_bucket_gets_what_a_disk_gets(form, images, out, s3: Store) -> None:
    form.write(images, CLASSES, out)
    bucket = Location.of(s3.uri(f"{s3.bucket()}/out"))
    form.write(images, CLASSES, bucket)
    names = sorted(out.files())
    assert sorted(bucket.files()) == names
    for name in names:
        assert (bucket / name).read_bytes() == (out / name).read_bytes(), name


def test_stems_never_clash() -> None:
    ids = [
        "a/b.jpg",
        "a-b.jpg",
        "a b.jpg",
        "b.jpg",
        "b.png",
        "b",
        "ボート",
        "",
        "." * 300,
        "x" * 300,
    ]
    stems = [stem(name) for name in ids]
    assert len({name.lower() for name in stems}) == len(ids)
    assert stem("b") == "b"
    assert all(0 < len(name) < 140 and "/" not in name for name in stems)
