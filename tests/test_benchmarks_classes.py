"""The benchmark of many classes: the run that it writes, and what it makes of a killed driver."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchmarks import classes, driver
from benchmarks.driver import Drive, Sample, assignments_hash
from benchmarks.planted_run import Spec, plan, planned, write_run
from raypipe.columns import matrix
from raypipe.storage.parts import Parts
from raypipe.storage.regions import read_regions, region_files
from raypipe.storage.run import Run
from raypipe.tables import ASSIGNMENTS, MAPS, PROJECTION, REGIONS

SPEC = Spec(classes=40, regions=120, bank=60, dims=16, shard=8)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    run = Run.at(str(tmp_path_factory.mktemp("benchmark") / "run"))
    write_run(run, SPEC)
    return run


# -- the run --------------------------------------------------------------------------------------


def test_sizes_are_those_of_real_data() -> None:
    classes = planned(Spec())
    regions = np.array([item.regions for item in classes])
    assert len(classes) == 1000
    assert regions.max() <= 5000
    assert (regions >= 4500).sum() >= 850
    assert (regions < 20).sum() == 30
    assert 60 <= ((regions >= 20) & (regions < 4500)).sum() <= 120
    assert {item.clusters for item in classes} == {1, 2, 3, 4, 5, 6}
    assert all(500 <= item.images <= 1300 for item in classes if item.regions > 4999)
    assert classes == planned(Spec())


def test_a_class_has_the_regions_that_were_planned(run) -> None:
    files = region_files(run)
    assert len(files) == SPEC.classes
    for item in planned(SPEC):
        for background, count in ((False, item.regions), (True, item.bank)):
            found = read_regions(files[item.name].places, item.name, background=background)
            assert len(found.keys) == len(set(found.keys)) == count
            assert found.features.shape == (count, SPEC.dims)
            np.testing.assert_allclose(np.linalg.norm(found.features, axis=1), 1, atol=2e-3)
            assert len({image for image, _, _ in found.keys}) <= item.images


def test_a_class_lies_in_a_few_shards(run) -> None:
    files = region_files(run)
    spread = {item.name: len(files[item.name].places) for item in planned(SPEC)}
    assert max(spread.values()) > 2
    assert all(spread[item.name] <= -(-item.images // SPEC.shard) for item in planned(SPEC))


def test_small_classes_share_a_shard(tmp_path) -> None:
    run = Run.at(str(tmp_path))
    spec = Spec(classes=6, regions=30, bank=0, dims=4)
    write_run(run, spec)
    files = region_files(run)
    assert len(files) == 6
    assert len({str(place) for own in files.values() for place in own.places}) == 1
    for item in planned(spec):
        assert (
            len(read_regions(files[item.name].places, item.name, background=False).keys)
            == item.regions
        )


def test_maps_and_regions_agree(run) -> None:
    manifest = run.require("extract")
    regions, maps = (list(Parts.of(run, manifest, table.name).read(table))
                     for table in (REGIONS, MAPS))  # fmt: skip
    assert sum(len(table) for table in maps) == manifest.counts["images"]
    assert manifest.counts["regions"] == sum(len(table) for table in regions)
    for own, grids in zip(regions, maps, strict=True):
        scores = dict(zip(grids["image_id"].to_pylist(), matrix(grids["map"]), strict=True))
        assert {float(grid.max()) for grid in scores.values()} == {1.0}
        for row in own.to_pylist():
            value = scores[row["image_id"]][row["row"] * 14 + row["col"]]
            assert row["score"] == value
            assert (value < 0.1) if row["background"] else (value > 0.2)


def test_the_run_counts_as_extracted_and_is_not_written_again(run) -> None:
    assert run.state(plan(SPEC))[0] == "done"
    assert run.read(PROJECTION, "extract", "projection.parquet").num_rows == SPEC.dims
    before = run.require("extract").created
    assert write_run(run, SPEC).created == before
    assert run.state(plan(Spec(classes=3)))[0] == "stale"


# -- drivers --------------------------------------------------------------------------------------

STAND_IN = """
import json, pathlib, subprocess, sys, time
import pyarrow as pa, pyarrow.parquet as pq

run, count = pathlib.Path(sys.argv[1]), int(sys.argv[2])
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
(run / "worker").write_text(str(worker.pid))
folder = run / "cluster" / "assignments"
folder.mkdir(parents=True, exist_ok=True)
for number in range(count):
    place = folder / f"{number:02d}.00000000.parquet"
    if place.exists():
        continue
    time.sleep(0.25)
    rows = {"class": [f"{number:02d}"] * 3, "image_id": ["c", "a", "b"], "row": [0, 1, 2],
            "col": [5, 5, 5], "cluster": [1, 1, 2 + number % 2]}
    pq.write_table(pa.table(rows), place.with_suffix(".tmp"))
    place.with_suffix(".tmp").rename(place)
(run / "cluster" / "manifest.json").write_text(json.dumps({"seconds": 1.0, "counts": {}}))
worker.kill()
"""
"""Stands in for `raypipe cluster`: a process that it starts, a file a class, resume, a manifest."""


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    """A folder to work in, where 12 classes take three seconds."""
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    monkeypatch.setattr(
        driver, "command", lambda run, *_: [sys.executable, str(script), str(run), "12"]
    )
    return tmp_path


def options(*words: str) -> argparse.Namespace:
    sizes = ["--classes", "12", "--regions", "30", "--bank", "5", "--dims", "4"]
    return classes.parser().parse_args([*sizes, *words])


def test_a_killed_driver_is_compared_with_an_undisturbed_one(work) -> None:
    report = classes.measure(options("--workers", "1,2", "--kill-at", "0.5"), work)
    assert json.loads(json.dumps(report)) == report
    assert [one["workers"] for one in report["runs"]] == [1, 2]
    assert report["same_whatever_the_workers"]
    for one in report["runs"]:
        assert one["seconds"] > 2.9
        assert 0 < one["driver_mb_at_100_percent"] <= one["driver_mb"] < one["peak_mb"]
    kill = report["kill"]
    assert 6 <= kill["classes_at_kill"] == kill["classes_kept"] < 12
    assert kill["same"]
    assert kill["hash"] == report["runs"][0]["hash"]
    assert not kill["counted_as_done_at_kill"]
    assert classes.table(report).row_count == 2
    said = " ".join(classes.notes(report))
    assert "are the same whatever the workers" in said
    assert f"{kill['classes_kept']} kept" in said


def test_what_a_driver_started_dies_with_it(work) -> None:
    (work / "run").mkdir()
    folder = classes.assignments(work / "run")
    words = driver.command(work / "run", 1, [])
    driver.drive(words, folder, work / "log", kill_at=2)
    assert 2 <= len(list(folder.iterdir())) < 12
    worker = int((work / "run" / "worker").read_text())
    # Nobody may have waited for it yet: then it is there, and dead.
    assert not psutil.pid_exists(worker) or psutil.Process(worker).status() == "zombie"


def test_a_driver_that_ends_before_its_kill_is_an_error(work) -> None:
    (work / "run").mkdir()
    words = driver.command(work / "run", 1, [])
    with pytest.raises(SystemExit, match="ended before 13 classes"):
        driver.drive(words, classes.assignments(work / "run"), work / "log", kill_at=13)


def test_a_driver_that_fails_is_an_error(tmp_path) -> None:
    words = [sys.executable, "-c", "raise SystemExit('no such thing')"]
    with pytest.raises(SystemExit, match="exit status 1\nno such thing"):
        driver.drive(words, tmp_path / "none", tmp_path / "log")


def test_a_kill_alone_needs_an_undisturbed_run_before(work) -> None:
    with pytest.raises(SystemExit, match="do --only run first"):
        classes.measure(options("--only", "kill", "--kill-at", "0.5"), work)


def test_the_hash_follows_the_clusters_and_not_the_order_of_rows(tmp_path) -> None:
    def hashed(name: str, rows: list[dict[str, object]]) -> str:
        (tmp_path / name).mkdir()
        table = ASSIGNMENTS.build(rows)
        driver.pq.write_table(table, tmp_path / name / "cat.parquet")
        return assignments_hash(tmp_path / name)

    rows = [{"class": "cat", "cluster": 1 + at % 2, "image_id": "a", "row": at, "col": 3,
             "typicality": 0.5} for at in range(4)]  # fmt: skip
    first = hashed("first", rows)
    assert hashed("turned", rows[::-1]) == first
    assert hashed("untypical", [row | {"typicality": 0.1} for row in rows]) == first
    assert hashed("other", [rows[0] | {"cluster": 2}, *rows[1:]]) != first
    assert hashed("twice", [*rows, rows[0]]) != first
    assert hashed("lost", rows[1:]) != first


def test_the_driver_is_looked_at_when_so_many_classes_are_finished() -> None:
    samples = [Sample(1.0, 0, 90.0), Sample(2.0, 3, 100.0), Sample(9.0, 20, 120.0)]
    found = Drive(10.0, 300.0, 130.0, 0.0, samples)
    assert found.driver_at(2) == 100.0
    assert found.driver_at(20) == 120.0
    assert classes.measures(found, 20)["classes_per_second"] == 2.0


def test_the_command_is_one_that_raypipe_understands(tmp_path) -> None:
    words = driver.command(tmp_path, 2, ["cluster.neighbors=10"])
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.returncode == 4
    assert "step extract has not been done" in result.stderr


@pytest.mark.parametrize("words", [("--kill-at", "1.5"), ("--only", "run,nothing")])
def test_what_makes_no_sense_is_refused(words) -> None:
    with pytest.raises(SystemExit):
        classes.parser().parse_args(words)
