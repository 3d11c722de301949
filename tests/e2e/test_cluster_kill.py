"""A killed `raypipe cluster`, driver and Ray and all, goes on and ends with the same clusters."""

from __future__ import annotations

import json

import pytest

from benchmarks.driver import assignments_hash, command, drive, written
from benchmarks.planted_run import Spec, write_run
from raypipe.storage.run import Run

SPEC = Spec(classes=40, regions=1500, bank=300, dims=32)


@pytest.mark.faults
def test_clusters_are_the_same_after_a_kill_and_with_one_worker_or_two(tmp_path) -> None:
    clusters = {}
    for name, kill_at, workers in (("whole", None, 2), ("killed", 8, 1)):
        run = Run.at(str(tmp_path / name))
        write_run(run, SPEC)
        place = tmp_path / name / "cluster" / "assignments"
        words, log = command(tmp_path / name, workers, []), tmp_path / f"{name}.log"
        if kill_at is not None:
            drive(words, place, log, kill_at=kill_at)
            before = written(place)
            assert kill_at <= len(before) < SPEC.classes
            assert not (tmp_path / name / "cluster" / "manifest.json").exists()
        drive(words, place, log)
        clusters[name] = assignments_hash(place)
    after = written(place)
    kept = [file for file, at in before.items() if after[file] == at]
    # A class counts as done once its last table is there; the one that was being written does not.
    assert len(kept) >= len(before) - 1
    manifest = json.loads((tmp_path / "killed" / "cluster" / "manifest.json").read_text())
    assert manifest["counts"]["classes"] == SPEC.classes
    assert clusters["killed"] == clusters["whole"]
