"""The manifest for KubeRay: its own keys, its pods, and that it says the same as cluster.yaml."""

from __future__ import annotations

import copy
import shlex
from importlib.metadata import version
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import typer
import yaml

from raypipe.cli.app import app
from raypipe.cloud.clusterfile import read
from raypipe.cloud.images import tag_findings
from tests.cloud.conftest import ROOT
from tests.cloud.kuberay import JOB

KUBERNETES = "1.37.0"


@pytest.fixture
def job() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "jobs" / "rayjob.yaml").read_text(encoding="utf-8"))


def groups(job: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def validate(job: dict[str, Any]) -> None:
    jsonschema.validate(job, JOB)
    for group in groups(job):
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "pod"}}
        kubernetes_validate.validate(pod | {"template": group["template"]}, KUBERNETES, strict=True)


def test_it_is_valid(job) -> None:
    validate(job)


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (("spec",), "shutdownAfterJobFinish", True),
        (("spec",), "backoffLimit", "2"),
        (("spec", "rayClusterSpec", "authOptions"), "mode", "tokn"),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams"), "num-cpus", 0),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec"), "container", []),
        (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec"), "volumes", "spill"),
    ],
)
def test_a_planted_mistake_is_found(job, path, key, value) -> None:
    broken = copy.deepcopy(job)
    place = broken
    for step in path:
        place = place[step]
    place[key] = value
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
        validate(broken)


def test_images_hold_the_ray_that_it_names(job) -> None:
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == version("ray")
    images = [group["template"]["spec"]["containers"][0]["image"] for group in groups(job)]
    assert [list(tag_findings("image", name)) for name in images] == [[]] * 4
    assert {name.rpartition("-")[0] for name in images} == {
        read(str(ROOT / "cluster.yaml")).image.rpartition("-")[0]
    }


def test_it_scales_as_cluster_yaml_does(job) -> None:
    file = read(str(ROOT / "cluster.yaml"))
    ours = {node.name.replace(".", "-"): (node.minimum, node.maximum) for node in file.workers}
    workers = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert {one["groupName"]: (one["minReplicas"], one["maxReplicas"]) for one in workers} == ours
    assert groups(job)[0]["rayStartParams"]["num-cpus"] == "0"
    options = job["spec"]["rayClusterSpec"]["autoscalerOptions"]
    assert options["idleTimeoutSeconds"] == file.content["idle_timeout_minutes"] * 60


def test_nothing_goes_on_costing_and_no_pod_is_root(job) -> None:
    assert job["spec"]["shutdownAfterJobFinishes"] is True
    assert job["spec"]["activeDeadlineSeconds"] > 0
    for group in groups(job):
        pod = group["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is False


def test_its_command_exists(job) -> None:
    program, name, *rest = shlex.split(job["spec"]["entrypoint"])
    command = typer.main.get_command(app).commands[name]
    known = {option for one in command.params for option in one.opts}
    assert program == "raypipe"
    assert {word for word in rest if word.startswith("--")} <= known
    [file] = [word for word in rest if word.endswith(".toml")]
    assert (ROOT / file.removeprefix("/opt/raypipe/")).is_file()
