"""The Dockerfile, as far as it can be checked without building 5 GB."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from raypipe.cloud.images import tag_findings
from tests.cloud.conftest import ROOT

TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def lint(text: str) -> subprocess.CompletedProcess[str]:
    hadolint = Path(sys.executable).parent / "hadolint"
    words = [hadolint, "--no-color", "--failure-threshold", "info", "-"]
    return subprocess.run(words, input=text, capture_output=True, text=True, check=False)


def test_the_linter_has_nothing_to_say() -> None:
    result = lint(TEXT)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("python:${PYTHON}-slim-bookworm", "python:latest", "DL3007"),
        ("    && rm -rf /var/lib/apt/lists/*", "    && true", "DL3009"),
        ("--no-cache-dir --no-deps .", "--no-deps .", "DL3042"),
        ("USER 1000", "USER root", "DL3002"),
        ("COPY raypipe raypipe", "ADD raypipe raypipe", "DL3020"),
    ],
)
def test_the_linter_finds_planted_mistakes(old: str, new: str, rule: str) -> None:
    assert old in TEXT
    assert rule in lint(TEXT.replace(old, new)).stdout


def test_both_targets_come_from_the_same_layers() -> None:
    stages = dict(re.findall(r"^FROM (\S+) AS (\w+)$", TEXT, re.MULTILINE)[::-1])
    assert re.findall(r"^FROM base AS (\w+)$", TEXT, re.MULTILINE) == ["cpu", "cuda"]
    assert stages["base"] in {"cpu", "cuda"}
    assert TEXT.count("pip install") == 2


def test_its_one_line_program_prints_the_dependencies_of_a_node(tmp_path: Path) -> None:
    [program] = re.findall(r'RUN python -c "(import tomllib.*)"', TEXT)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert done.stdout.splitlines() == project["dependencies"]


def test_tags_that_it_names_are_those_of_this_version() -> None:
    tags = re.findall(r"--tag (\S+)", TEXT)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert len(tags) == 2
    for tag in tags:
        assert list(tag_findings("tag", tag)) == []
        assert f":{project['version']}-ray" in tag
    assert f"PYTHON={sys.version_info.major}.{sys.version_info.minor}." in TEXT


def test_what_it_copies_is_let_through() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in ignore if line and not line.startswith("#")]
    assert rules[0] == "*"
    sources = re.findall(r"^COPY (.*) \S+$", TEXT, re.MULTILINE)
    copied = {word for line in sources for word in line.split()}
    assert copied == {rule[1:] for rule in rules if rule.startswith("!")}
    assert all((ROOT / name).exists() for name in copied)
