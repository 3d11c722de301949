"""`raypipe run` stops where a person must answer, and goes on after that."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import RunCli
from tests.e2e.conftest import Demo


def test_run_stops_for_the_answers_and_goes_on(demo: Demo, cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text(
        f"""
run = "run"
[dataset]
name = "toyworld"
root = "{demo.run}/scenes"
limit = 5
[localizer]
architecture = "toynet"
weights = "{demo.run}/network/toynet.safetensors"
[refine]
rules = ["filter", "classify"]
"""
    )
    first = cli("run", "job.toml", "--json", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout) == {"complete": False}
    assert "questions are open" in first.stderr
    assert (tmp_path / "run/sheets/index.html").exists()

    simulated = cli("labels", "simulate", "--config", "job.toml", cwd=tmp_path)
    assert simulated.returncode == 0, simulated.stderr

    second = cli("run", "job.toml", "--json", cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert "extract: done already" in second.stderr
    report = json.loads(second.stdout)
    assert list(report["rules"]) == ["plain", "filter", "classify"]
    assert report["corloc"]["refined"] == report["rules"]["filter"]["corloc"]
