"""`raypipe export` on a refined run."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from raypipe import rle
from raypipe.errors import InputError
from raypipe.export.formats import Format
from raypipe.export.records import Source
from tests.conftest import RunCli
from tests.evaluate.conftest import BOAT, DOG, HEIGHT, LEFT, RIGHT, WIDTH


@pytest.fixture
def run(scene) -> str:
    scene.write()
    return str(scene.run)


def test_images_come_shard_by_shard_with_the_rules_detections(scene) -> None:
    scene.write()
    images = list(Source(scene.run, "val").images())
    assert [image.image_id for image in images] == ["one", "two", "three"], "four was never seen"
    assert [(found.name, found.boxes.tolist()) for found in images[1].detections] == [
        (BOAT, [list(RIGHT)]), (DOG, [list(LEFT)])
    ]  # fmt: skip
    assert (images[0].width, images[0].height) == (WIDTH, HEIGHT)
    assert Path(images[0].uri).exists()
    assert images[0].detections[0].counts is None


def test_masks_that_were_not_drawn_are_asked_for(scene) -> None:
    scene.write()
    with pytest.raises(InputError, match="step masks/val has not been done") as caught:
        list(Source(scene.run, "val", masks=True).images())
    assert "raypipe masks" in caught.value.remedy


def test_an_unknown_rule_names_those_that_there_are(scene) -> None:
    scene.write()
    with pytest.raises(InputError, match="rule filter") as caught:
        list(Source(scene.run, "val", "filter").images())
    assert "plain, classify" in caught.value.remedy


@pytest.mark.parametrize("form", [*Format])
def test_every_format_is_written_and_its_manifest_last(form, run, cli: RunCli, tmp_path) -> None:
    out = tmp_path / "out"
    words = ("export", form.value, out, "--run", run, "--json")
    result = cli(*words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["images"] == 3
    manifest = json.loads((out / "raypipe-export.json").read_text())
    assert (manifest["format"], manifest["rule"], manifest["set"]) == (
        form.value,
        "classify",
        "val",
    )
    (out / "left over").write_text("of an export of before")
    assert cli(*words, cwd=tmp_path).returncode == 0
    assert not (out / "left over").exists()


def test_masks_are_drawn_first_and_only_once(run, cli: RunCli, tmp_path) -> None:
    words = ("export", "coco", "out", "--run", run, "--mask-threshold", "0.5", "--json")
    result = cli(*words, "--address", "local", "--cpus", 1, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["masks"] == 4
    content = json.loads((tmp_path / "out/annotations.json").read_text())
    (found,) = (item for item in content["annotations"] if item["image_id"] == 1)
    mask = rle.decode(found["segmentation"]["counts"].encode(), HEIGHT, WIDTH)
    assert (mask == (np.arange(WIDTH) < 20)).all()
    again = cli("export", "coco", "out", "--run", run, "--masks", cwd=tmp_path)
    assert "masks/val: done already, 4 masks" in again.stderr.replace("\n", " ")


def test_the_plain_maps_boxes_on_demand(run, cli: RunCli, tmp_path) -> None:
    result = cli("export", "csv", "out", "--run", run, "--rule", "plain", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = list(csv.DictReader((tmp_path / "out/boxes.csv").read_text().splitlines()))
    assert [row["x1"] for row in rows if row["image_id"] == "one"] == ["40.0"]


def test_what_else_is_in_the_folder_is_not_touched(run, cli: RunCli, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("three years")
    result = cli("export", "coco", "out", "--run", run, cwd=tmp_path)
    assert result.returncode == 4
    assert "thesis.tex" in result.stderr
    assert (tmp_path / "out/thesis.tex").read_text() == "three years"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("export", "kitti", "out"), 2, "kitti"),
        (("export", "coco", "out", "--rule", "magic"), 4, "magic"),
        (("export", "coco", "out", "--split", "test"), 4, "refine/test"),
        (("export", "coco", "taken/out"), 4, "taken"),
    ],
)
def test_mistakes_are_a_line_and_a_remedy(words, code, said, run, cli: RunCli, tmp_path) -> None:
    (tmp_path / "taken").write_text("a file")
    result = cli(*words, "--run", run, cwd=tmp_path)
    assert result.returncode == code, result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr
