"""Label Studio tasks, read by Label Studio's own package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree.ElementTree import fromstring

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_studio_sdk.converter import Converter
from label_studio_sdk.converter import brush as theirs
from label_studio_sdk.label_interface import LabelInterface

from raypipe import rle
from raypipe.errors import InputError, UsageError
from raypipe.export import brush, labelstudio
from raypipe.export.records import ExportImage
from raypipe.storage.blob import range_uri
from raypipe.storage.location import Location
from tests.export.samples import CLASSES, NASTY, boxes_of, some_images


def tasks_in(out: Location) -> list[dict[str, Any]]:
    names = [name for name in out.names() if name.startswith("tasks-")]
    return [task for name in names for task in json.loads((out / name).read_bytes())]


@pytest.fixture
def images(tmp_path: Path) -> list[ExportImage]:
    return some_images(tmp_path)


@pytest.fixture
def out(tmp_path: Path) -> Location:
    return Location.of(str(tmp_path / "out"))


def test_label_studio_takes_tasks_and_predictions(images, out, tmp_path) -> None:
    counts = labelstudio.write(iter(images), CLASSES, out, root=str(tmp_path))
    assert counts == {"images": 3, "boxes": 4, "masks": 3, "files": 1}
    interface = LabelInterface((out / "config.xml").read_text())
    interface.validate()
    assert interface.get_control("box").labels == [name for name, _ in CLASSES]
    tasks = tasks_in(out)
    assert [task["data"]["image_id"] for task in tasks] == [image.image_id for image in images]
    for task, image in zip(tasks, images, strict=True):
        assert interface.validate_task({"data": task["data"]})
        for prediction in task.get("predictions", []):
            assert interface.validate_prediction(prediction, return_errors=True) == []
            ids = [result["id"] for result in prediction["result"]]
            assert len(set(ids)) == len(ids)
        url = urlsplit(task["data"]["image"])
        assert url.path == "/data/local-files/"
        assert tmp_path / parse_qs(url.query, strict_parsing=True)["d"][0] == Path(image.uri)
    first = tasks[0]["predictions"][0]
    assert first["score"] == pytest.approx(1 / (1 + np.exp(-3.0)))
    assert "predictions" not in tasks[2]


def test_boxes_and_masks_come_back_as_label_studio_exports_them(images, out, tmp_path) -> None:
    labelstudio.write(images, CLASSES, out, model_version="raypipe classify")
    # A person accepts every prediction: it becomes an annotation.
    tasks = tasks_in(out)
    for number, task in enumerate(tasks):
        predictions = task.pop("predictions", [{"result": []}])
        result = predictions[0]["result"]
        task["annotations"] = [{"id": number, "completed_by": 1, "result": result}]
        task["id"] = number
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    text = (out / "config.xml").read_text()
    converter = Converter(text, str(tmp_path), download_resources=False)
    read = []
    for item in converter.iter_from_json_file(str(tmp_path / "export.json")):
        image = next(one for one in images if one.image_id == item["input"]["image_id"])
        for box in item["output"].get("box", []):
            x0, y0 = box["x"] * image.width / 100, box["y"] * image.height / 100
            x1 = x0 + box["width"] * image.width / 100
            y1 = y0 + box["height"] * image.height / 100
            read.append((image.image_id, box["rectanglelabels"][0], [x0, y0, x1, y1]))
            assert (box["original_width"], box["original_height"]) == (image.width, image.height)
        found = {one.name: one for one in image.detections}
        for value in item["output"].get("mask", []):
            own = found[value["brushlabels"][0]]
            decoded = theirs.decode_rle(value["rle"]).reshape(image.height, image.width, 4)
            expected = rle.decode(own.counts, image.height, image.width)
            assert np.array_equal(decoded[:, :, 3] == 255, expected)
    written = sorted(boxes_of(images))
    assert [row[:2] for row in sorted(read)] == [row[:2] for row in written]
    for (*_, got), (*_, expected) in zip(sorted(read), written, strict=True):
        assert got == pytest.approx(expected, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32), st.sampled_from([0, 1, 2]))
def test_brush_against_label_studios_own_encoder(height, width, seed, kind) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((height, width)) < (0.0, 0.5, 1.0)[kind]
    if kind == 1:
        mask[: height // 2] = True
    encoded = brush.encode(mask)
    values = theirs.decode_rle(encoded).reshape(height, width, 4)
    assert np.array_equal(values, np.repeat(255 * mask[:, :, None], 4, axis=2))
    own = theirs.mask2rle((255 * mask).astype(np.uint8))
    assert own[: len(encoded)] == encoded  # theirs may end in a byte of nothing
    assert not any(own[len(encoded) :])


def test_runs_longer_than_a_length_holds() -> None:
    for side in (128, 129, 400):  # 128 * 128 * 4 values are the longest run
        mask = np.ones((side, side), bool)
        mask[-1, -1] = False
        values = theirs.decode_rle(brush.encode(mask)).reshape(side, side, 4)
        assert np.array_equal(values[:, :, 3] == 255, mask)


def test_without_masks_there_is_no_brush(out, tmp_path) -> None:
    images = some_images(tmp_path, masked=False)[:1]
    assert labelstudio.write(images, CLASSES, out)["masks"] == 0
    assert "Brush" not in (out / "config.xml").read_text()
    many = [(f"c{number}", "") for number in range(30)]
    root = fromstring(labelstudio.config(many, masks=True))
    assert [tag.get("toName") for tag in root.findall("Filter")] == ["box", "mask"]
    assert NASTY in [
        label.get("value") for label in fromstring((out / "config.xml").read_text()).iter("Label")
    ]  # fmt: skip


def test_where_images_are_found(images, out, tmp_path) -> None:
    image = images[0]
    own = "s3://bucket/a%20b/%E3%83%9C.jpg?endpoint_override=x"
    assert labelstudio.image_url(image, own, "/") == "s3://bucket/a b/ボ.jpg"
    assert labelstudio.image_url(image, "https://x.org/a%20b.jpg?v=1", "/") == (
        "https://x.org/a%20b.jpg?v=1"
    )
    assert labelstudio.image_url(image, "/data/x y.jpg", "/") == (
        "/data/local-files/?d=data/x%20y.jpg"
    )
    with pytest.raises(UsageError, match="is not below it"):
        labelstudio.write(images, CLASSES, out, root=str(tmp_path / "elsewhere"))
    packed = ExportImage("p", range_uri("/data/x.tar", 512, 100), 8, 8, ())
    with pytest.raises(InputError, match="cannot read image p there") as caught:
        labelstudio.write([packed], CLASSES, out)
    assert "--copy-images" in caught.value.remedy


def test_to_s3_with_copies_of_the_images(images, s3) -> None:
    out = Location.of(s3.uri(f"{s3.bucket()}/an export"))
    labelstudio.write(images, CLASSES, out, copy_images=True)
    for task, image in zip(tasks_in(out), images, strict=True):
        scheme, _, path = task["data"]["image"].partition("://")
        assert scheme == "s3"
        with out.filesystem.open_input_file(path) as file:
            assert file.read() == Path(image.uri).read_bytes()
