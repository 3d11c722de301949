import json

import numpy as np
import pytest

from raypipe.config import EngineConfig, Settings
from raypipe.engine import connected
from raypipe.errors import ConfigError, InputError
from raypipe.evaluate import flow
from raypipe.overview import states
from raypipe.pipeline import Pipeline
from raypipe.storage.parts import Parts
from raypipe.tables import METRICS
from tests.evaluate.conftest import LEFT, grid_of
from tests.evaluate.test_report import sides

BOAT, DOG = "boat", "<script>dog"


@pytest.fixture(scope="module")
def engine():
    with connected(EngineConfig(address="local", cpus=1)) as cluster:
        yield cluster


def evaluated(scene, engine):
    scene.write()
    manifest = flow.execute(scene.run, Settings(), engine, "val")
    report = json.loads((scene.run.step("evaluate/val") / "report.json").read_text())
    return manifest, report


def test_a_run_from_detections_to_report(scene, engine):
    manifest, report = evaluated(scene, engine)
    # Boats: `one` 0.5 -> 1, `two` 1 -> 0, `four` missing; the dog 1 -> 1.
    assert sides(report["per_class"][BOAT]["corloc"]) == {"plain": 2 / 3, "refined": 1 / 3}
    assert sides(report["per_class"][DOG]["corloc"]) == {"plain": 1.0, "refined": 1.0}
    assert sides(report["corloc"]) == {"plain": (2 / 3 + 1) / 2, "refined": (1 / 3 + 1) / 2}
    # The refined map is interpolated: its edge lies 4 pixels to the right of the mask's.
    assert report["iou"]["plain"] == pytest.approx(400 / 600)
    assert report["iou"]["refined"] > 0.8
    assert (report["questions"], report["questions_per_class"]) == (3, 1.5)
    assert manifest.counts == {
        "classes": 2, "images": 3, "pairs": 4, "fallbacks": 1, "missing": 1, "questions": 3,
    }  # fmt: skip
    assert manifest.details["corloc"] == report["corloc"]
    assert manifest.fingerprint == report["fingerprint"]
    parts = Parts.of(scene.run, manifest, METRICS.name)
    assert parts.count() == 8 + 2  # what was measured, and the missing pair by both rules


def test_the_page_shows_what_changed_and_escapes_names(scene, engine):
    evaluated(scene, engine)
    page = (scene.run.step("evaluate/val") / "report.html").read_text()
    best, worst = page[page.index("helped most") :].split("harmed most")
    assert ">one<" in best
    assert ">two<" in worst
    assert page.count('src="data:image/webp') == 4
    assert "<script" not in page
    assert "&lt;script&gt;dog" in page


def test_finished_shards_are_kept_and_foreign_ones_removed(scene, engine):
    _, first = evaluated(scene, engine)
    folder = scene.run.step("evaluate/val") / "metrics"
    kept, again, last = folder.names()
    content = (folder / kept).read_bytes()
    (folder / again).delete()
    (folder / "000000-a.deadbeef.parquet").write_bytes(content)
    before = folder.filesystem.get_file_info((folder / kept).path).mtime_ns
    manifest = flow.execute(scene.run, Settings(), engine, "val")
    assert folder.names() == [kept, again, last]
    assert folder.filesystem.get_file_info((folder / kept).path).mtime_ns == before
    assert manifest.details["corloc"] == first["corloc"]


def test_the_plan_depends_on_settings_and_detections(scene):
    scene.write()
    plan = flow.plan(scene.run, Settings(), "val")
    assert plan.step == "evaluate/val"
    assert set(plan.upstream) == {"refine", "index"}
    other = flow.plan(scene.run, Settings(evaluate={"mask_threshold": 0.3}), "val")
    assert other.fingerprint != plan.fingerprint


def test_before_refinement_the_remedy_is_named(scene):
    with pytest.raises(InputError) as error:
        flow.plan(scene.run, Settings(), "val")
    assert "raypipe refine" in error.value.remedy


@pytest.mark.parametrize("other_class", [False, True])
def test_a_set_without_truth_is_refused(scene, engine, other_class):
    scene.boxes = [scene.boxes[0] | {"class": "train"}] if other_class else []
    for image in scene.images:
        image["mask_uri"] = None
    scene.write()
    with pytest.raises(InputError, match="no true boxes and no masks") as error:
        flow.execute(scene.run, Settings(), engine, "val")
    assert error.value.remedy
    assert scene.run.manifest("evaluate/val") is None


def test_an_unreadable_photo_does_not_stop_the_report(scene, engine, tmp_path):
    (tmp_path / "one.png").unlink()
    _, report = evaluated(scene, engine)
    assert report["pairs"] == 4


def test_other_maps_predictions_and_a_truth_file(scene, engine, tmp_path):
    maps = tmp_path / "maps"
    maps.mkdir()
    for image_id in ("one", "two"):
        np.save(maps / f"{image_id}.npy", grid_of(LEFT))
    (tmp_path / "ranks.csv").write_text(f"image_id,class,rank\none,{BOAT},1\ntwo,{BOAT},4\n")
    boxes = [("one", [0, 0, 20, 20]), ("two", [0, 0, 40, 40]), ("five", [0, 0, 1, 1])]
    annotations = [{"image_id": name, "category_id": 1, "bbox": box} for name, box in boxes]
    (tmp_path / "truth.json").write_text(json.dumps({
        "images": [{"id": name, "file_name": f"{name}.png", "width": 40, "height": 20 * size}
                   for name, size in (("one", 1), ("two", 2), ("five", 1))],
        "categories": [{"id": 1, "name": BOAT}], "annotations": annotations,
    }))  # fmt: skip
    scene.write()
    settings = Settings(target={
        "maps": {"edges": str(maps)}, "truth": str(tmp_path / "truth.json"),
        "predictions": str(tmp_path / "ranks.csv"),
    })  # fmt: skip
    flow.execute(scene.run, settings, engine, "val")
    report = json.loads((scene.run.step("evaluate/val") / "report.json").read_text())
    # `two` is of another shape in the file, so only `one` is judged, and only by its box.
    assert (report["pairs"], report["rules"]["edges"]["corloc"]) == (1, 1.0)
    assert (report["rules"]["plain"]["corloc"], report["top1_loc"]["refined"]) == (1.0, 1.0)
    assert report["policy"] == {
        "other_size": 1, "unknown_images": 1, "without_truth": 3,
    }  # fmt: skip
    assert report["iou"]["plain"] is None
    # Nobody refines anything where only other maps are to be judged.
    scene.run.step("refine").delete()
    flow.execute(scene.run, settings, engine, "val")
    report = json.loads((scene.run.step("evaluate/val") / "report.json").read_text())
    assert (list(report["rules"]), report["corloc"]["plain"]) == (["edges"], 1.0)
    assert (report["baseline"], report["refined"], report["missing"]) == ("edges", "edges", 0)
    # Who asks how things stand need not name the files again.
    (tmp_path / "photos").mkdir()
    pipeline = Pipeline(scene.run, Settings(dataset={"root": str(tmp_path / "photos")}))
    assert {item.name: item.state for item in states(pipeline)}["evaluate/val"] == "done"


def test_a_map_called_as_a_rule_is_refused(scene, engine):
    scene.write()
    with pytest.raises(ConfigError, match="--maps plain: a rule is called so"):
        flow.execute(scene.run, Settings(target={"maps": {"plain": "x"}}), engine, "val")
