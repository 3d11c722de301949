"""FiftyOne's dataset format, read by FiftyOne."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raypipe import rle
from raypipe.errors import InputError
from raypipe.export import fiftyone
from raypipe.export.records import ExportImage
from raypipe.storage.blob import range_uri
from raypipe.storage.location import Location
from tests.export.samples import CLASSES, boxes_of, some_images


def read(tmp_path: Path, *folders: Path) -> list[dict[str, Any]]:
    """Read datasets in a process of its own, with a database of its own."""
    home = tmp_path / "home"
    home.mkdir()
    env = os.environ | {
        "HOME": str(home), "FIFTYONE_DATABASE_DIR": str(home / "db"),
        "FIFTYONE_DO_NOT_TRACK": "1", "FIFTYONE_SHOW_PROGRESS_BARS": "0",
    }  # fmt: skip
    script = Path(__file__).with_name("fiftyone_reader.py")
    try:
        done = subprocess.run(
            [sys.executable, str(script), *map(str, folders)], env=env, capture_output=True,
            text=True, timeout=120, check=False,
        )  # fmt: skip
    finally:
        for pid in servers(home / "db"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"rows"')]


def servers(database: Path) -> Iterator[int]:
    """Yield the database servers of a folder that are still there."""
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (place / "cmdline").read_bytes().decode().split("\0")
            if "mongod" in words[0] and str(database) in words:
                yield int(place.name)


@pytest.fixture
def images(tmp_path: Path) -> list[ExportImage]:
    return some_images(tmp_path)


def test_fiftyone_reads_what_was_written(images, tmp_path) -> None:
    out, copied = tmp_path / "out", tmp_path / "copied"
    counts = fiftyone.write(iter(images), CLASSES, Location.of(str(out)))
    assert counts == {"images": 3, "boxes": 4, "masks": 4, "maps": 4}
    fiftyone.write(images, CLASSES, Location.of(str(copied)), copy_images=True)
    first, second = read(tmp_path, out, copied)
    assert first["default_classes"] == [name for name, _ in CLASSES]
    assert {"detections", "heatmap", "heatmap_2"} <= set(first["schema"])
    assert first["counts"] == {"cat": 2, CLASSES[1][0]: 1, "n01440764": 1}
    assert first["high"] == 3
    rows = {row["image_id"]: row for row in first["rows"]}
    assert [row["image_id"] for row in first["rows"]] == [image.image_id for image in images]
    for image in images:
        row = rows[image.image_id]
        assert row["filepath"] == image.uri
        assert row["size"] == [image.width, image.height]
        check_maps(row["heatmaps"], image)
    got = [
        (row["image_id"], found[0], found[1])
        for row in first["rows"]
        for found in row["detections"]
    ]
    sizes = {image.image_id: (image.width, image.height) for image in images}
    for (image_id, label, box), expected in zip(got, boxes_of(images), strict=True):
        assert (image_id, label) == expected[:2]
        width, height = sizes[image_id]
        x, y, across, down = box
        corners = [x * width, y * height, (x + across) * width, (y + down) * height]
        assert corners == pytest.approx(expected[2], abs=1e-9)
    check_masks(rows[images[0].image_id]["detections"][0], images[0])

    for row, image in zip(second["rows"], images, strict=True):
        assert Path(row["filepath"]).is_relative_to(copied / "data")
        assert Path(row["filepath"]).read_bytes() == Path(image.uri).read_bytes()
        assert row | {"filepath": ""} == rows[image.image_id] | {"filepath": ""}


def check_maps(found: dict[str, Any], image: ExportImage) -> None:
    ranked = sorted(image.detections, key=lambda one: -one.score)
    assert len(found) == len(ranked)
    for detection, (label, levels_range, levels) in zip(
        ranked, (found[name] for name in sorted(found)), strict=True
    ):
        assert (label, levels_range) == (detection.name, [0, 255])
        assert np.array(levels) / 255 == pytest.approx(detection.map, abs=0.5 / 255 + 1e-6)


def check_masks(found: list[Any], image: ExportImage) -> None:
    label, _, score, mask = found
    own = image.detections[0]
    assert (label, score) == (own.name, own.score)
    x0, y0, x1, y1 = own.boxes[0].astype(int)
    whole = rle.decode(own.counts, image.height, image.width)
    assert np.array_equal(np.array(mask, bool), whole[y0:y1, x0:x1])


def test_an_export_can_be_repeated_and_goes_to_s3(images, s3) -> None:
    place = s3.uri(f"{s3.bucket()}/an export")
    contents = []
    for _ in range(2):
        out = Location.of(place)
        fiftyone.write(images, CLASSES, out, copy_images=True)
        contents.append({name: (out / name).read_bytes() for name in out.files()})
    assert contents[0] == contents[1]
    samples = json.loads(contents[0]["samples.json"])["samples"]
    assert len({sample["_id"]["$oid"] for sample in samples}) == 3
    for sample in samples:
        assert sample["filepath"] in contents[0]
        if "heatmap" in sample:
            assert sample["heatmap"]["map_path"] in contents[0]


def test_images_that_are_no_files(tmp_path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    content = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.tar").write_bytes(b"." * 512 + content)
    uri = range_uri(str(tmp_path / "x.tar"), 512, len(content))
    out = Location.of(str(tmp_path / "out"))
    for own in (uri, "s3://bucket/x.png"):
        with pytest.raises(InputError, match="FiftyOne cannot read image x there"):
            fiftyone.write([ExportImage("x", own, 8, 8, ())], CLASSES, out)
    assert not (out / "samples.json").exists()
    fiftyone.write([ExportImage("x", uri, 8, 8, ())], CLASSES, out, copy_images=True)
    assert (out / "data" / "000000" / "000000000.png").read_bytes() == content
