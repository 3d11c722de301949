"""Lines on stderr as JSON, and `status --watch`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raypipe import progress
from tests.conftest import RunCli

TOY = ("--dataset", "toyworld", "--root", "scenes", "--set", "dataset.toyworld.images_per_class=2",
       "--run", "run")  # fmt: skip


@pytest.fixture(autouse=True)
def text_again(monkeypatch) -> None:
    monkeypatch.setenv(progress.LOG_FORMAT, "text")


def test_every_line_is_a_json_object_with_run_and_step(cli: RunCli, tmp_path: Path) -> None:
    result = cli("--log-format", "json", "index", *TOY, cwd=tmp_path)
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert result.returncode == 0
    assert lines
    for line in lines:
        assert {"time", "level", "message", "host", "pid"} <= set(line)
    inside = [line for line in lines if "images a second" in line["message"]]
    assert inside[0]["step"] == "index/train"
    assert inside[0]["run"].endswith("/run")


def test_an_error_is_a_line_with_its_remedy_and_code(cli: RunCli, tmp_path: Path) -> None:
    result = cli("--log-format", "json", "index", "--dataset", "nonsense", "--run", "run",
                 cwd=tmp_path)  # fmt: skip
    line = json.loads(result.stderr.splitlines()[-1])
    assert line["level"] == "error"
    assert line["exit_code"] == result.returncode == 3
    assert line["remedy"]


def test_progress_tells_its_numbers(monkeypatch, capsys) -> None:
    monkeypatch.setenv(progress.LOG_FORMAT, "json")
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    with progress.about("here", "extract"), progress.tracking("work", 10, "images") as tracker:
        tracker.advance(4)
        progress.detail("shard done", {"shard": "a", "images": 4})
    line, shard = (json.loads(text) for text in capsys.readouterr().err.splitlines())
    assert (line["done"], line["total"], line["step"]) == (4, 10, "extract")
    assert (shard["shard"], shard["images"], shard["level"]) == ("a", 4, "debug")


def test_details_are_for_json_only(capsys) -> None:
    progress.detail("shard done", {"shard": "a"})
    assert capsys.readouterr().err == ""


def test_watching_ends_when_nothing_is_under_way(cli: RunCli, tmp_path: Path) -> None:
    cli("index", *TOY, cwd=tmp_path)
    result = cli("status", "--watch", "1", *TOY[-2:], cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "nodes: none seen yet" in result.stdout
    assert "index/train" in result.stdout
