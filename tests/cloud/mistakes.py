"""Mistakes to plant in the shipped cluster.yaml, and what must be said of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Plant = Callable[[dict[str, Any]], object]


def put(*path: str, value: object) -> Plant:
    """Return what writes a value at a path."""

    def plant(content: dict[str, Any]) -> None:
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return plant


def drop(*path: str) -> Plant:
    def plant(content: dict[str, Any]) -> None:
        for key in path[:-1]:
            content = content[key]
        del content[path[-1]]

    return plant


def both(*plants: Plant) -> Plant:
    def plant(content: dict[str, Any]) -> None:
        for own in plants:
            own(content)

    return plant


TYPES = "available_node_types"
SPOT = (TYPES, "gpu.spot", "node_config")
HEAD = (TYPES, "head", "node_config")


def start(old: str, new: str) -> Plant:
    """Return what rewrites the head's start command."""

    def plant(content: dict[str, Any]) -> None:
        lines = content["head_start_ray_commands"]
        content["head_start_ray_commands"] = [line.replace(old, new) for line in lines]

    return plant


def disk(node: str, key: str, value: object) -> Plant:
    """Return what writes a value into a node's disk."""

    def plant(content: dict[str, Any]) -> None:
        config = content[TYPES][node]["node_config"]
        config["BlockDeviceMappings"][0]["Ebs"][key] = value

    return plant


def image(tag: str) -> Plant:
    return put("docker", "image", value=f"registry:5000/raypipe{tag}")


def opened(rule: dict[str, Any]) -> Plant:
    return put("provider", "security_group", "IpPermissions", value=[rule])


def grown_first(content: dict[str, Any]) -> None:
    content[TYPES]["gpu.z"] = content[TYPES].pop("gpu.ondemand") | {"max_workers": 2}
    content["max_workers"] += 1


ANYWHERE = [{"CidrIp": "0.0.0.0/0"}]
DASHBOARD = {"FromPort": 8265, "ToPort": 8265, "IpProtocol": "tcp", "IpRanges": ANYWHERE}
EVERYTHING = {
    "FromPort": -1,
    "ToPort": -1,
    "IpProtocol": "-1",
    "Ipv6Ranges": [{"CidrIpv6": "::/0"}],
}
MARKET = {"MarketType": "spot"}

# What is planted, where it must be found, words of the remedy.
MISTAKES: dict[str, tuple[Plant, str, str]] = {
    # Ray's own validation
    "unknown key": (put("max_worker", value=3), "ray up", "mend that first"),
    "no such head": (put("head_node_type", value="heat"), "ray up", "mend"),
    "minima over the maximum": (put("max_workers", value=0), "ray up", "mend"),
    "no provider": (drop("provider"), "ray up", "mend"),
    "unknown provider": (put("provider", "type", value="awz"), "ray up", "mend"),
    "image without a name": (drop("docker", "container_name"), "ray up", "mend"),
    "half a CPU": (put(TYPES, "gpu.spot", "resources", "CPU", value=0.5), "ray up", "mend"),
    # EC2's model
    "unknown parameter": (
        put(*SPOT, "InstanceTyp", value="x"),
        "gpu.spot.InstanceTyp",
        "write InstanceType",
    ),
    "unknown below": (
        disk("head", "VolumSize", 1),
        "head.BlockDeviceMappings[0].Ebs.VolumSize",
        "write VolumeSize",
    ),
    "number as text": (
        disk("head", "VolumeSize", "150"),
        "head.BlockDeviceMappings[0].Ebs.VolumeSize",
        "give it as int",
    ),
    "no such machine": (
        both(put(*SPOT, "InstanceType", value="g6.4xlarg"), drop(TYPES, "gpu.spot", "labels")),
        "gpu.spot.InstanceType",
        "g6.4xlarge",
    ),
    "no such market": (
        put(*HEAD, "InstanceMarketOptions", value={"MarketType": "spott"}),
        "head.InstanceMarketOptions.MarketType",
        "write one of spot",
    ),
    "no such disk": (
        disk("head", "VolumeType", "gp4"),
        "head.BlockDeviceMappings[0].Ebs.VolumeType",
        "gp3",
    ),
    # sizes
    "no maximum": (drop("max_workers"), "max_workers", "max_workers: 13"),
    "one over the maximum": (
        put(TYPES, "gpu.spot", "max_workers", value=20),
        "gpu.spot.max_workers",
        "raise max_workers",
    ),
    "sum over the maximum": (put("max_workers", value=10), "max_workers", "max_workers: 13"),
    "minimum over its maximum": (
        put(TYPES, "gpu.ondemand", "min_workers", value=3),
        "gpu.ondemand.min_workers",
        "write 1",
    ),
    # the head
    "head with CPUs": (
        put(TYPES, "head", "resources", value={"CPU": 8}),
        "head.resources.CPU",
        "CPU: 0",
    ),
    "head with its own CPUs": (
        put(TYPES, "head", "resources", value={}),
        "head.resources.CPU",
        "CPU: 0",
    ),
    "head with a GPU": (
        put(TYPES, "head", "resources", "GPU", value=1),
        "head.resources.GPU",
        "GPU: 0",
    ),
    "head on spot": (
        both(put(*HEAD, "InstanceMarketOptions", value=MARKET), drop(TYPES, "head", "labels")),
        "head.InstanceMarketOptions",
        "take InstanceMarketOptions off",
    ),
    # spot
    "no floor": (
        put(TYPES, "gpu.ondemand", "min_workers", value=0),
        "gpu.spot",
        "on-demand GPU type with min_workers: 1",
    ),
    "floor on spot": (
        both(
            put(TYPES, "gpu.ondemand", "node_config", "InstanceMarketOptions", value=MARKET),
            drop(TYPES, "gpu.ondemand", "labels"),
        ),
        "gpu.ondemand",
        "on-demand GPU type",
    ),
    "on-demand grown first": (grown_first, "gpu.z", "sorts before gpu.spot"),
    "label of another machine": (
        put(TYPES, "cpu.spot", "labels", "raypipe.io/machine", value="m6i.2xlarge"),
        "cpu.spot.labels",
        "write raypipe.io/machine: m6i.4xlarge",
    ),
    "label of another market": (
        put(TYPES, "gpu.spot", "labels", "ray.io/market-type", value="on-demand"),
        "gpu.spot.labels",
        "write ray.io/market-type: spot",
    ),
    "one zone": (
        put("provider", "availability_zone", value="us-east-1a"),
        "provider.availability_zone",
        "us-east-1a,us-east-1b",
    ),
    # what is left over
    "cached nodes": (
        put("provider", "cache_stopped_nodes", value=True),
        "provider.cache_stopped_nodes",
        "cache_stopped_nodes: False",
    ),
    "cached by default": (
        drop("provider", "cache_stopped_nodes"),
        "provider.cache_stopped_nodes",
        "cache_stopped_nodes: False",
    ),
    "no idle timeout": (
        drop("idle_timeout_minutes"),
        "idle_timeout_minutes",
        "idle_timeout_minutes: 5",
    ),
    "long idle timeout": (
        put("idle_timeout_minutes", value=600),
        "idle_timeout_minutes",
        "5 to 10",
    ),
    "disk that stays": (
        disk("head", "DeleteOnTermination", False),
        "head.BlockDeviceMappings[0].Ebs",
        "DeleteOnTermination: true",
    ),
    # the image
    "another Ray": (image(":0.1.0-ray2.48.0-py311-cuda"), "docker.image", "Ray 2.60.0"),
    "another Python": (image(":0.1.0-ray2.60.0-py310-cuda"), "docker.image", "Python 3.11"),
    "latest": (image(":latest"), "docker.image", "ray2.60.0-py311"),
    "no tag": (image(""), "docker.image", "ray2.60.0-py311"),
    "digest alone": (image("@sha256:0011"), "docker.image", "ray2.60.0-py311"),
    "no image": (lambda c: c.pop("docker"), "docker.image", "name an image"),
    "Ray of the day": (
        put("setup_commands", value=["pip install -U 'ray[default]'"]),
        "setup_commands",
        "pin ray==2.60.0",
    ),
    "Ray pinned elsewhere": (
        put("worker_setup_commands", value=["pip install ray==2.59.0"]),
        "worker_setup_commands",
        "pin ray==2.60.0",
    ),
    "Ray's own commands": (drop("setup_commands"), "setup_commands", "setup_commands: []"),
    # start commands
    "Ray's own start": (
        drop("worker_start_ray_commands"),
        "worker_start_ray_commands",
        "cluster.yaml we ship",
    ),
    "no autoscaler": (
        start("--autoscaling-config=~/ray_bootstrap_config.yaml", ""),
        "head_start_ray_commands",
        "--autoscaling-config",
    ),
    "open dashboard": (start("127.0.0.1", "0.0.0.0"), "head_start_ray_commands", "127.0.0.1"),
    "endless failures": (start("1000000", "inf"), "head_start_ray_commands", "FAILURES=1000000"),
    "token that nobody has": (put("file_mounts", value={}), "file_mounts", "~/.ray/auth_token"),
    # machines
    "disk of the image": (
        put(*HEAD, "BlockDeviceMappings", value=[{"DeviceName": "/dev/sda1"}]),
        "head.BlockDeviceMappings[0].Ebs",
        "Encrypted: true",
    ),
    "open port": (
        opened(DASHBOARD),
        "provider.security_group.IpPermissions[0]",
        "take the rule out",
    ),
    "all ports open": (
        opened(EVERYTHING),
        "provider.security_group.IpPermissions[0]",
        "take the rule out",
    ),
    "IMDSv1": (
        put(*SPOT, "MetadataOptions", "HttpTokens", value="optional"),
        "gpu.spot.MetadataOptions",
        "HttpTokens: required",
    ),
    "metadata by default": (
        drop(*HEAD, "MetadataOptions"),
        "head.MetadataOptions",
        "HttpTokens: required",
    ),
    "plain disk": (
        disk("cpu.spot", "Encrypted", False),
        "cpu.spot.BlockDeviceMappings[0].Ebs",
        "Encrypted: true",
    ),
    "the image's disk": (
        drop(*SPOT, "BlockDeviceMappings"),
        "gpu.spot.BlockDeviceMappings",
        "Encrypted: true",
    ),
    "no profile": (drop(*SPOT, "IamInstanceProfile"), "gpu.spot.IamInstanceProfile", "cloud/aws/"),
    "no machine image": (drop(*HEAD, "ImageId"), "head.ImageId", "name one"),
    "no machine type": (drop(*HEAD, "InstanceType"), "head.InstanceType", "name one"),
    "launch template": (
        put(*HEAD, "LaunchTemplate", value={"LaunchTemplateName": "x"}),
        "head.LaunchTemplate",
        "into the file",
    ),
}
