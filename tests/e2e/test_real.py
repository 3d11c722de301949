"""The method on real images, with a smaller network than the README's figures are of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks import data
from tests.conftest import RunCli

pytestmark = pytest.mark.realdata


@pytest.mark.timeout(900)
def test_msrc_protocol(real_data: Path, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, data.ROOT / "benchmarks/msrc.py", "--seeds", "0", "--json",
         "--network", "resnet18", "--run", tmp_path / "run"],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["questions_per_class"] <= 2.7
    assert report["corloc"]["plain"] == pytest.approx(0.59, abs=0.03)
    assert report["iou"]["plain"] == pytest.approx(0.59, abs=0.02)
    assert report["corloc"]["refined"] >= 0.76
    assert report["iou"]["refined"] >= 0.69
    for name in ("miou", "pxap", "top1_loc", "max_box_acc"):
        assert report[name]["gain_interval"][0] > 0, name
    for name, scores in report["per_class"].items():
        assert scores["iou"]["refined"] > scores["iou"]["plain"] - 0.05, name
    rule = report["rules"]["filter"]
    assert rule["corloc"] >= report["corloc"]["plain"] + 0.05
    assert rule["iou"] >= report["iou"]["plain"] + 0.03


@pytest.mark.timeout(600)
def test_ilsvrc_tree_none_lost(real_data: Path, process: RunCli, tmp_path: Path) -> None:
    weights = data.state_dict("resnet18")
    # A quarter of the default input: what is shown here does not depend on it.
    network = ("--architecture", "resnet18", "--weights", weights, "--input-size", "112")
    place = {"RAYPIPE_ROOT_ILSVRC": str(real_data / "ilsvrc_mini")}
    command = ("extract", "--dataset", "ilsvrc", *network, "--json")
    result = process(*command, cwd=tmp_path, timeout=500, **place)
    assert result.returncode == 0, result.stderr
    counts = json.loads(result.stdout)["counts"]
    assert (counts["images"], counts["maps"], counts["rejects"]) == (1300, 1300, 0)
    maps = pq.read_table(tmp_path / "runs/ilsvrc/extract/maps", columns=["image_id", "class"])
    assert len(set(maps["image_id"].to_pylist())) == 1300
    assert len(set(maps["class"].to_pylist())) == 501
