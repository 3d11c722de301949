"""`raypipe doctor` says what is wrong and what to do, and leaves nothing behind."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from raypipe.doctor import _node
from raypipe.engine import probe
from tests.conftest import RunCli
from tests.s3 import Store

TOY = ("--dataset", "toyworld", "--root", "scenes", "--set", "localizer.architecture=resnet18")
OURS = probe.here(0.0, 0.0)
WELL = replace(OURS, shm=8 << 30, disk=100 << 30, files=65536, asked=OURS.clock)


def looked(result) -> dict[str, dict]:
    return {item["what"].split()[0]: item for item in json.loads(result.stdout)}


def test_all_is_well_on_this_machine(cli: RunCli, tmp_path: Path) -> None:
    weights = ("--set", "localizer.weights=net.pth")
    save_resnet(tmp_path / "net.pth")
    result = cli("doctor", "--run", "run", *TOY, *weights, "--address", "local", "--json",
                 cwd=tmp_path)  # fmt: skip
    found = looked(result)
    assert result.returncode == 0, result.stdout
    for what in ("run", "dataset", "weights", "Ray"):
        assert found[what]["state"] == "ok", found[what]
    assert "11.7 million" in found["weights"]["detail"]
    assert found["image"]["state"] == "not checked"
    assert not (tmp_path / "run").exists()


def test_each_failure_has_a_remedy_and_the_first_ones_code(cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = cli(
        "doctor", "--run", "file/run", "--dataset", "imagefolder", "--root", "nowhere",
        "--set", "localizer.weights=no.pth", "--address", "127.0.0.1:9", "--json", cwd=tmp_path,
    )  # fmt: skip
    found = looked(result)
    assert result.returncode == 4
    for what in ("run", "dataset", "weights", "Ray"):
        assert found[what]["state"] == "failed", found[what]
        assert found[what]["remedy"]
    assert [found[what]["code"] for what in ("dataset", "Ray")] == [4, 6]


def test_a_bucket_that_is_not_there(cli: RunCli, tmp_path: Path, s3: Store) -> None:
    result = cli(
        "doctor", "--run", s3.uri("nobucket/run"), "--address", "127.0.0.1:9", "--json",
        cwd=tmp_path,
    )  # fmt: skip
    assert result.stdout, result.stderr
    assert "nobucket" in looked(result)["run"]["detail"]
    assert looked(result)["run"]["state"] == "failed"


def test_in_words(cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "cluster.yaml").write_text((Path(__file__).parents[1] / "cluster.yaml").read_text())
    result = cli("doctor", "--address", "127.0.0.1:9", cwd=tmp_path)
    assert result.returncode != 0
    assert "not checked run directory: none named → name it with --run" in result.stdout
    assert "REGISTRY stands for your registry" in result.stdout


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"python": "3.9"}, "Python 3.9 there"),
        ({"packages": OURS.packages | {"raypipe": ""}}, "raypipe is missing there"),
        ({"packages": OURS.packages | {"ray": "2.1.0"}}, "ray 2.1.0 there"),
        ({"gpus": 1.0, "cuda": 0}, "Ray counts 1 GPUs, torch can use 0"),
        ({"shm": 64 << 20}, "0.1 GB of shared memory"),
        ({"disk": 1 << 30}, "1 GB free"),
        ({"files": 1024}, "1024 open files"),
        ({"clock": WELL.clock + 60}, "its clock is +60 s off"),
    ],
)
def test_what_a_node_lacks_is_said_alone(changes, said) -> None:
    assert [check.state for check in _node(WELL, OURS)] == ["ok"]
    (check,) = _node(replace(WELL, **changes), OURS)
    assert check.state in {"failed", "warning"}
    assert said in check.detail
    assert check.remedy


def save_resnet(place: Path) -> None:
    import torch
    from torchvision.models import resnet18

    torch.save(resnet18().state_dict(), place)
