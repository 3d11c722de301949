"""A user's mistake is one clear line, its exit code, and never a traceback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import RunCli

pytestmark = pytest.mark.faults

TOYNET = ("--architecture", "toynet", "--cpus", "1")


def refused(cli: RunCli, cwd: Path, code: int, *arguments: object, says: tuple[str, ...]) -> None:
    result = cli(*arguments, cwd=cwd)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    for words in says:
        assert words in result.stderr
    assert "  try: " in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("code", "arguments", "says"),
    [
        (4, ["--root", "missing"], ["missing: not found", "check --root"]),
        (4, ["--root", "empty"], ["no images"]),
        (3, ["--dataset", "imagefoldr"], ["'imagefoldr'", "did you mean imagefolder?"]),
        (3, ["--localizer", "camm"], ["'camm'", "did you mean cam?"]),
        (3, ["--architecture", "resnet5"], ["'resnet5'", "did you mean resnet"]),
        (3, ["--weights", "IMAGENET9"], ["'IMAGENET9'", "toynet"]),
        (3, ["--weights", "text.pth"], ["text.pth: not a state dict"]),
        (3, ["--weights", "text.safetensors"], ["text.safetensors: not a safetensors file"]),
        (4, ["--weights", "gone.pth"], ["gone.pth: not found"]),
        (3, ["--layer", "trunkk"], ["no layer 'trunkk'", "trunk"]),
        (3, ["--architecture", "resnet18"], ["does not fit resnet18"]),
        (3, [], ["does not know kite", "raypipe fit"]),
        (3, ["--set", "extract.threshold=7"], ["extract.threshold", "less than or equal to 1"]),
        (3, ["--set", "extract.treshold=0.1"], ["extract.treshold: unknown setting"]),
        (2, ["--set", "threshold"], ["not section.name=value"]),
        (3, ["--config", "broken.toml"], ["broken.toml: not a TOML file"]),
        (3, ["--config", "typo.toml"], ["unknown setting extrct", "did you mean extract?"]),
        (4, ["--only", "boot"], ["unknown class boot"]),
        (4, ["--run", "text.pth"], ["is a file, not a run directory"]),
        (4, ["--run", "text.pth/below"], ["text.pth/below"]),
        (4, ["--run", "nosuch://bucket/run"], ["nosuch://bucket/run"]),
        (6, ["--address", "127.0.0.1:1"], ["127.0.0.1:1: no connection", "--address local"]),
    ],
)
def test_extract_refuses(
    cli: RunCli,
    tmp_path: Path,
    photos: Path,
    weights: Path,
    code: int,
    arguments: list[str],
    says: list[str],
) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("these are not weights at all")
    (tmp_path / "broken.toml").write_text("[extract\n")
    (tmp_path / "typo.toml").write_text("[extrct]\nthreshold = 0.2\n")
    whole = arguments in ([], ["--only", "boot"], ["--root", "empty"])
    only = [] if whole else ["--only", "boat,car"]  # the network does not know kite
    usual = ["--dataset", "imagefolder", "--root", photos, "--weights", weights, "--run", "run"]
    refused(cli, tmp_path, code, "extract", *usual, *only, *TOYNET, *arguments, says=tuple(says))


def test_usage_errors_exit_with_2(cli: RunCli, tmp_path: Path) -> None:
    for arguments in (["extract", "--rot", "x"], ["nosuch"], ["extract", "--limit", "-3"]):
        result = cli(*arguments, cwd=tmp_path)
        assert result.returncode == 2
        assert "Traceback" not in result.stderr


def test_a_step_whose_input_is_missing_names_the_command(cli: RunCli, tmp_path: Path) -> None:
    for step, needed in (
        ("cluster", "raypipe extract"),
        ("sheets", "raypipe cluster"),
        ("evaluate", "raypipe refine"),
    ):
        refused(cli, tmp_path, 4, step, "--run", "run", says=(needed,))
    refused(cli, tmp_path, 4, "cluster", says=("which run?", "--run"))


def test_a_newer_run_directory_is_refused(cli: RunCli, tmp_path: Path, photos: Path) -> None:
    arguments = ["index", "--dataset", "imagefolder", "--root", photos, "--run", "run"]
    assert cli(*arguments, cwd=tmp_path).returncode == 0
    place = tmp_path / "run" / "index" / "train" / "manifest.json"
    manifest = json.loads(place.read_text())
    place.write_text(json.dumps(manifest | {"schema_version": 99, "not_known_yet": 1}))
    refused(cli, tmp_path, 3, *arguments, says=("newer raypipe", "upgrade"))


def test_a_folder_that_was_moved_away_is_named(cli: RunCli, tmp_path: Path, photos: Path) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    arguments = ["index", "--dataset", "imagefolder", "--root", "photos", "--run", "run"]
    assert cli(*arguments, cwd=tmp_path).returncode == 0
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    refused(cli, tmp_path, 4, *arguments, "--fresh", says=("photos: not found",))
