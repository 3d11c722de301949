"""Runs that end, whatever the machine, and go on, whatever happened to them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.conftest import RunCli
from tests.e2e.conftest import Demo

Region = tuple[Any, ...]


def regions(run: Path) -> dict[Region, Any]:
    """Return the regions of a run, by what they are."""
    names = ("image_id", "class", "row", "col", "background")
    rows = pq.read_table(run / "extract" / "regions").to_pylist()
    found = {tuple(row[name] for name in names): row["feature"] for row in rows}
    assert len(found) == len(rows), "a region stands twice"
    return found


def extract(demo: Demo, run: str, *more: str) -> list[str]:
    scenes = str(demo.run / "scenes")
    return [
        "extract",
        "--dataset",
        "toyworld",
        "--root",
        scenes,
        *demo.network,
        "--run",
        run,
        *more,
    ]


# The interrupted run below goes to its end on 2, with the same regions.
@pytest.mark.parametrize("cpus", [1, 4])
def test_no_starvation_and_the_same_regions_on_any_number_of_cpus(
    demo: Demo, process: RunCli, tmp_path: Path, cpus: int
) -> None:
    shards = ("--limit", "6", "--set", "dataset.shard_size=7")
    result = process(*extract(demo, "run", "--cpus", str(cpus), *shards), cwd=tmp_path, timeout=200)
    assert result.returncode == 0, result.stderr
    found = set(regions(tmp_path / "run"))
    reference = tmp_path.parent / "regions-of-the-first.json"
    if not reference.exists():
        reference.write_text(json.dumps(sorted(found)))
    assert found == {tuple(key) for key in json.loads(reference.read_text())}


@pytest.mark.faults
def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(
    demo: Demo, process: RunCli, tmp_path: Path
) -> None:
    command = extract(demo, "run", "--cpus", "2", "--set", "dataset.shard_size=10")
    running = subprocess.Popen(
        [sys.executable, "-m", "raypipe", *command],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    maps = tmp_path / "run" / "extract" / "maps"
    deadline = time.monotonic() + 120
    while not list(maps.glob("*.parquet")):
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: the whole group gets it
    _, words = running.communicate(timeout=60)
    assert running.returncode == 130, words
    assert "Traceback" not in words
    assert "the same command goes on" in words
    assert not (tmp_path / "run/extract/manifest.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in maps.glob("*.parquet")}

    result = process(*command, "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "extract: going on where it stopped" in result.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    # The demonstration's extraction was never disturbed, and had other shards.
    assert set(regions(tmp_path / "run")) == set(regions(demo.run))


@pytest.mark.faults
def test_an_image_that_does_not_decode_is_a_row_not_the_end(
    demo: Demo, process: RunCli, cli: RunCli, tmp_path: Path
) -> None:
    root = tmp_path / "photos"
    for kind in ("boat", "car"):
        (root / kind).mkdir(parents=True)
        for number in range(12):
            name = f"train_{kind}_{number:04d}.jpg"
            shutil.copy(demo.run / "scenes/JPEGImages" / name, root / kind / name)
    shutil.copy(demo.run / "scenes/JPEGImages/train_kite_0000.jpg", tmp_path / "kite.jpg")
    (root / "kite").mkdir()
    shutil.move(tmp_path / "kite.jpg", root / "kite")  # a class with one image
    broken = root / "boat" / "train_boat_0003.jpg"
    broken.write_bytes(broken.read_bytes()[:900])
    usual = ["--dataset", "imagefolder", "--root", str(root), *demo.network, "--run", "run"]
    result = process("extract", *usual, "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    counts = json.loads(result.stdout)["counts"]
    assert (counts["images"], counts["maps"], counts["rejects"]) == (25, 24, 1)
    (row,) = pq.read_table(tmp_path / "run/extract/rejects").to_pylist()
    assert row["image_id"] == "boat/train_boat_0003.jpg"
    assert row["reason"] == "undecodable"
    assert cli("cluster", "--run", "run", "--cpus", "1", cwd=tmp_path).returncode == 0
    assert cli("sheets", "--run", "run", "--cpus", "1", cwd=tmp_path).returncode == 0
    assert (tmp_path / "run/sheets/kite.png").exists()
