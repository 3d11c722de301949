"""Every mistake that `cluster-check` knows is found, alone, with a line that names its remedy."""

from __future__ import annotations

from functools import partial

import pytest

from raypipe.cloud import cost, prices
from raypipe.cloud.checks import check, reminders
from raypipe.cloud.clusterfile import ClusterFile
from tests.cloud.mistakes import ANYWHERE, DASHBOARD, MISTAKES, put


@pytest.mark.parametrize("name", MISTAKES)
def test_each_planted_mistake_is_found(name: str, content) -> None:
    plant, where, remedy = MISTAKES[name]
    plant(content)

    found = check(ClusterFile("cluster.yaml", content))

    assert [item.where for item in found] == [where], [f"{i.where}: {i.what}" for i in found]
    assert remedy in found[0].remedy
    assert all("\n" not in part for part in (found[0].where, found[0].what, found[0].remedy))


def test_a_sound_file_has_none(content) -> None:
    file = ClusterFile("cluster.yaml", content)

    assert check(file) == []
    assert reminders(file) == []


def test_ray_s_own_images_are_understood(content) -> None:
    content["docker"]["image"] = "rayproject/ray:2.60.0-py311-gpu"
    assert check(ClusterFile("cluster.yaml", content)) == []

    content["docker"]["image"] = "rayproject/ray:2.9.0-py39"
    words = [item.what for item in check(ClusterFile("cluster.yaml", content))]
    assert [line.split(" in the image")[0] for line in words] == ["Ray 2.9.0", "Python 3.9"]


def test_ssh_may_be_open_and_a_group_of_one_s_own_too(content) -> None:
    ssh = {"FromPort": 22, "ToPort": 22, "IpProtocol": "tcp", "IpRanges": ANYWHERE}
    inside = DASHBOARD | {"IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    content["provider"]["security_group"]["IpPermissions"] = [ssh, inside]
    assert check(ClusterFile("cluster.yaml", content)) == []


def test_spot_without_gpus_needs_a_floor_of_any_kind(content) -> None:
    for name in ("gpu.spot", "gpu.ondemand"):
        del content["available_node_types"][name]
    content["max_workers"] = 4
    file = ClusterFile("cluster.yaml", content)
    assert [item.remedy for item in check(file)] == ["add an on-demand type with min_workers: 1"]


def test_another_cloud_is_checked_as_far_as_it_goes(content) -> None:
    content["provider"] = {"type": "gcp", "region": "us-central1", "project_id": "x"}
    content["idle_timeout_minutes"] = 90
    file = ClusterFile("cluster.yaml", content)
    assert [item.where for item in check(file)] == ["idle_timeout_minutes"]
    assert "for aws only" in reminders(file)[0]


@pytest.mark.parametrize("odd", [None, 3, "x", [], {}, [3], {"a": 1}, -1, 1.5])
@pytest.mark.parametrize(
    "path",
    [
        ("provider", "availability_zone"),
        ("provider", "security_group"),
        ("docker", "image"),
        ("available_node_types", "head"),
        ("available_node_types", "gpu.spot", "node_config"),
        ("available_node_types", "gpu.spot", "node_config", "BlockDeviceMappings"),
        ("setup_commands",),
    ],
    ids=".".join,
)
def test_nonsense_anywhere_is_never_a_crash(path: tuple[str, ...], odd: object, content) -> None:
    put(*path, value=odd)(content)
    file = ClusterFile("cluster.yaml", content)
    if all(item.where != "ray up" for item in check(file)):
        cost.cost(file, prices.load(None))


def test_ray_grows_the_type_whose_name_sorts_last() -> None:
    """What the check of names, and the names in cluster.yaml, rest on."""
    from ray.autoscaler._private.node_provider_availability_tracker import NodeAvailabilitySummary
    from ray.autoscaler._private.resource_demand_scheduler import (
        _default_utilization_scorer,
        get_nodes_for,
    )

    equal = {"resources": {"CPU": 16, "GPU": 1}, "max_workers": 3}
    scorer = partial(
        _default_utilization_scorer, node_availability_summary=NodeAvailabilitySummary({})
    )
    for types, first in (
        (("gpu.ondemand", "gpu.spot"), "gpu.spot"),
        (("gpu.spot", "gpu.z"), "gpu.z"),
    ):
        nodes, _ = get_nodes_for(
            dict.fromkeys(types, equal), {}, "head", 2, [{"GPU": 1}] * 2, scorer
        )
        assert dict(nodes) == {first: 2}


def test_ray_ignores_an_endless_number_of_failures(monkeypatch) -> None:
    from ray._common.utils import env_integer

    monkeypatch.setenv("AUTOSCALER_MAX_NUM_FAILURES", "inf")
    assert env_integer("AUTOSCALER_MAX_NUM_FAILURES", 5) == 5
