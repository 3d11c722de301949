"""The demonstration shows a real failure and its repair, and a person can go on from it."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.conftest import RunCli
from tests.e2e.conftest import Demo


def test_the_plain_map_fails_and_a_few_answers_repair_it(demo: Demo) -> None:
    report = demo.report
    assert report["corloc"]["plain"] < 0.5
    assert report["corloc"]["refined"] > 0.85
    assert report["iou"]["refined"] > report["iou"]["plain"]
    assert 1.0 < report["questions_per_class"] <= 3.0
    for scores in report["per_class"].values():
        assert scores["corloc"]["refined"] > scores["corloc"]["plain"]


def test_it_leaves_pictures_and_pages(demo: Demo) -> None:
    with Image.open(demo.run / "demo.png") as picture:
        assert picture.width > 600
    for page in ("sheets/index.html", "sheets/boat.html", "evaluate/val/report.html"):
        assert "boat" in (demo.run / page).read_text()
    assert json.loads((demo.run / "evaluate/val/report.json").read_text()) == demo.report


def test_nothing_is_lost_on_the_way(demo: Demo) -> None:
    manifest = json.loads((demo.run / "extract/manifest.json").read_text())
    index = pq.read_table(demo.run / "index/train/images")
    assert manifest["counts"]["images"] == manifest["counts"]["maps"] == index.num_rows
    assert manifest["counts"]["rejects"] == 0
    detections = pq.read_table(demo.run / "refine/val/detections")
    keys = list(zip(*(detections[name].to_pylist() for name in ("image_id", "class", "rule")),
                    strict=True))  # fmt: skip
    assert len(set(keys)) == len(keys) == 2 * pq.read_table(
        demo.run / "index/val/images").num_rows  # fmt: skip


def test_a_second_time_does_nothing_and_says_so(demo: Demo, cli: RunCli) -> None:
    before = {path: path.stat().st_mtime_ns for path in demo.run.rglob("*.parquet")}
    result = cli("demo", "--json", cwd=demo.folder)
    assert json.loads(result.stdout) == demo.report
    for step in ("index/train", "fit", "extract", "cluster", "sheets", "refine/val"):
        assert f"{step}: done already" in result.stderr
    assert {path: path.stat().st_mtime_ns for path in demo.run.rglob("*.parquet")} == before


def test_status_knows_what_is_stale_and_why(demo: Demo, cli: RunCli) -> None:
    result = cli("status", "--json", cwd=demo.folder)
    assert {item["state"] for item in json.loads(result.stdout)} == {"done"}
    changed = cli("status", "--json", "--set", "cluster.neighbors=7", cwd=demo.folder)
    states = {item["name"]: item for item in json.loads(changed.stdout)}
    assert states["extract"]["state"] == "done"
    assert states["cluster"]["state"] == "stale"
    assert states["cluster"]["reasons"] == ["neighbors was 20, is 7"]
    assert "next: raypipe cluster" in cli(
        "status", "--set", "cluster.neighbors=7", cwd=demo.folder).stdout  # fmt: skip


@pytest.fixture
def own(demo: Demo, tmp_path: Path) -> Path:
    """A working directory with a run of one's own, made from the demonstration's."""
    shutil.copytree(demo.run, tmp_path / "runs" / "demo")
    return tmp_path


def test_a_person_answers_by_csv(own: Path, cli: RunCli) -> None:
    shutil.rmtree(own / "runs/demo/labels")
    assert "no labels yet" in cli("refine", cwd=own).stderr
    rows = list(csv.DictReader(io.StringIO(cli("labels", "template", cwd=own).stdout)))
    assert {row["verdict"] for row in rows} == {""}
    for row in rows[:-1]:
        row["verdict"] = "O"
    write(own / "labels.csv", rows)
    refused = cli("labels", "ingest", "labels.csv", cwd=own)
    assert refused.returncode == 4
    assert str(rows[-1]["cluster"]) in refused.stderr
    assert not (own / "runs/demo/labels").exists()
    rows[-1]["verdict"] = "unsure"
    write(own / "labels.csv", rows)
    assert cli("labels", "ingest", "labels.csv", "--annotator", "ada", cwd=own).returncode == 0
    found = json.loads(cli("labels", "status", "--json", cwd=own).stdout)
    assert sum(item["object"] for item in found["classes"]) == len(rows) - 1


def test_labels_for_other_clusters_are_refused(own: Path, cli: RunCli) -> None:
    rows = list(csv.DictReader(io.StringIO(cli("labels", "template", cwd=own).stdout)))
    for row in rows:
        row.update(verdict="object", membership="0123456789ab")
    write(own / "labels.csv", rows)
    refused = cli("labels", "ingest", "labels.csv", cwd=own)
    assert refused.returncode == 4
    assert "Traceback" not in refused.stderr
    assert "line 2" in refused.stderr
    assert f"line {len(rows) + 1}" in refused.stderr


def test_other_localizer_settings_are_refused_at_refine(own: Path, cli: RunCli) -> None:
    refused = cli("refine", "--set", "localizer.input_size=96", cwd=own)
    assert refused.returncode == 3
    assert "other localizer settings" in refused.stderr


def test_images_that_no_step_has_seen(own: Path, demo: Demo, cli: RunCli) -> None:
    new = own / "new"
    new.mkdir()
    for kind in ("boat", "train"):
        shutil.copy(demo.run / f"scenes/JPEGImages/val_{kind}_0001.jpg", new / f"{kind}.jpg")
    (new / "broken.jpg").write_bytes(b"\xff\xd8\xff not an image")
    result = cli("refine", "--images", "new", "--json", "--cpus", "1",
                 "--set", "engine.max_reject_share=0.5", cwd=own)  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["counts"] == {"images": 3, "detections": 4, "rejects": 1}
    rows = pq.read_table(own / "runs/demo/refine/new/detections").to_pylist()
    # Without labels or --classes, the network says which class.
    assert {(row["image_id"], row["class"]) for row in rows} == {
        ("boat.jpg", "boat"), ("train.jpg", "train")}  # fmt: skip
    limited = cli("refine", "--images", "new", "--classes", "boat", "--cpus", "1", cwd=own)
    assert limited.returncode == 5  # one reject of three is more than 5 %
    assert "1 of 3 images were rejected" in limited.stderr
    rejects = pq.read_table(own / "runs/demo/refine/new/rejects").to_pylist()
    assert [(row["image_id"], row["reason"]) for row in rejects] == [("broken.jpg", "undecodable")]
    rows = pq.read_table(own / "runs/demo/refine/new/detections").to_pylist()
    assert {row["class"] for row in rows} == {"boat"}


def write(place: Path, rows: list[dict[str, str]]) -> None:
    with place.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
