"""Masks as a step, and how they are judged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raypipe import rle
from raypipe.config import EngineConfig, Settings
from raypipe.engine import connected
from raypipe.errors import InputError
from raypipe.evaluate import flow as evaluate
from raypipe.masks import flow
from raypipe.storage.parts import Parts
from raypipe.tables import MASKS
from tests.evaluate.conftest import BOAT, HEIGHT, WIDTH


@pytest.fixture(scope="module")
def engine():
    with connected(EngineConfig(address="local", cpus=1)) as cluster:
        yield cluster


def drawn(scene, engine, **masks):
    """Draw masks; return what the step says, and the masks by image, class and rule."""
    settings = Settings(masks=masks)
    manifest = flow.execute(scene.run, settings, engine, "val")
    rows = [row for table in Parts.of(scene.run, manifest, "masks").read(MASKS)
            for row in table.to_pylist()]  # fmt: skip
    return manifest, {
        (row["image_id"], row["class"], row["rule"]): rle.decode(row["counts"], HEIGHT, WIDTH)
        for row in rows
    }


def photo_of(scene, image_id):
    return Path(next(row["uri"] for row in scene.images if row["image_id"] == image_id))


def test_a_threshold_needs_no_image_and_finished_shards_are_kept(scene, engine):
    scene.write()
    photo_of(scene, "one").unlink()
    manifest, masks = drawn(scene, engine, threshold=0.5, rules=("classify", "plain"))
    assert manifest.counts == {"masks": 8, "empty": 0, "thresholded": 0}
    assert (masks["one", BOAT, "classify"] == (np.arange(WIDTH) < 20)).all()
    assert masks["one", BOAT, "plain"].all()
    folder = scene.run.step("masks/val") / "masks"
    kept, again = folder.names()
    content = (folder / kept).read_bytes()
    (folder / again).delete()
    (folder / "000009-z.deadbeef.parquet").write_bytes(content)
    before = folder.filesystem.get_file_info((folder / kept).path).mtime_ns
    assert drawn(scene, engine, threshold=0.5, rules=("classify", "plain"))[0].counts == (
        manifest.counts
    )
    assert folder.names() == [kept, again]
    assert folder.filesystem.get_file_info((folder / kept).path).mtime_ns == before


def test_a_crf_draws_to_the_edge_of_the_image_and_is_judged_beside_the_maps(scene, engine, capsys):
    """The map's border is blurred over its cells; the image has an edge four pixels from it."""
    scene.write()
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, 24:] = (220, 180, 60)
    Image.fromarray(pixels).save(photo_of(scene, "one"))
    photo_of(scene, "three").unlink()
    Image.new("RGB", (WIDTH, HEIGHT + 1)).save(photo_of(scene, "two"))
    manifest, masks = drawn(scene, engine, crf=True)
    assert (masks["one", BOAT, "classify"] == (np.arange(WIDTH) < 24)).all()
    assert manifest.counts["thresholded"] == 3  # one that is gone, two classes of another size
    assert "3 masks are the threshold's" in capsys.readouterr().err.replace("\n", " ")
    evaluate.execute(scene.run, Settings(), engine, "val")
    report = json.loads((scene.run.step("evaluate/val") / "report.json").read_text())
    assert list(report["rules"]) == ["plain", "classify", "classify+crf"]
    found = report["rules"]["classify+crf"]
    # 480 pixels, of which 40 are void; 400 are of the boat.
    assert found["iou"] == pytest.approx(400 / 440)
    assert [found[name] for name in ("corloc", "max_box_acc", "pointing", "pxap")] == [None] * 4
    assert report["refined"] == "classify"


def test_a_rule_that_nobody_refined_by_names_those_there_are(scene):
    scene.write()
    with pytest.raises(InputError, match="no detections by rule filter") as error:
        flow.plan(scene.run, Settings(masks={"rules": ("filter",)}), "val")
    assert "plain, classify" in error.value.remedy
