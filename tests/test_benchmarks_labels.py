"""What the benchmark of answers writes is what the commands take."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.labels import measured, write_csv, write_run
from raypipe.annotate import labels
from raypipe.annotate.agreement import agreement
from raypipe.storage.run import Run


def test_every_annotator_answers_every_question(tmp_path: Path) -> None:
    memberships = write_run(tmp_path / "run", classes=20, clusters=4)
    assert write_csv(tmp_path / "answers.csv", memberships, annotators=3) == 240
    run = Run.at(str(tmp_path / "run"))
    found = labels.ingest(run, (tmp_path / "answers.csv").read_bytes(), source="answers.csv")
    assert found.new == 240
    alpha = agreement(run).alpha
    assert alpha is not None
    assert 0.4 < alpha < 0.9  # nine in ten alike: 0.64 expected


def test_a_command_is_measured_and_its_failure_noticed(tmp_path: Path) -> None:
    found = measured([sys.executable, "-c", "bytearray(200_000_000)"], tmp_path)
    assert found["peak_mb"] > 190
    with pytest.raises(RuntimeError, match="exit code 3"):
        measured([sys.executable, "-c", "raise SystemExit(3)"], tmp_path)
