"""What each node of a cluster has: asked by one small task a node."""

from __future__ import annotations

import importlib.util
import platform
import resource
import shutil
import socket
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("raypipe", "ray", "torch", "torchvision", "pyarrow", "numpy")
_ANSWER_WITHIN = 60.0  # seconds for all nodes; a process that has to start takes a few


@dataclass(frozen=True)
class NodeFacts:
    """What a node has.

    Attributes:
        node: Its host name.
        python: Version, as 3.11.
        packages: Versions by name; empty for what is not installed.
        gpus: GPUs that Ray counts on it.
        cuda: GPUs that torch can use there.
        shm: Bytes of shared memory, used or not; 0 where there is no such file system.
        disk: Bytes free for spilled objects and Ray's logs.
        files: Files and sockets that a process may open.
        clock: Seconds since the epoch, there, when it was asked.
        asked: The same here.
    """

    node: str
    python: str
    packages: dict[str, str]
    gpus: float
    cuda: int
    shm: int
    disk: int
    files: int
    clock: float
    asked: float


def here(gpus: float, asked: float) -> NodeFacts:
    """Return what this machine has.

    Args:
        gpus: GPUs that Ray counts on it.
        asked: Seconds since the epoch, where the question came from.
    """
    clock = time.time()
    shm = Path("/dev/shm")  # noqa: S108 -- looked at, not written to
    return NodeFacts(
        socket.gethostname(),
        ".".join(platform.python_version_tuple()[:2]),
        {name: _version(name) for name in _PACKAGES},
        gpus,
        _cuda() if gpus else 0,
        shutil.disk_usage(shm).total if shm.exists() else 0,
        shutil.disk_usage(tempfile.gettempdir()).free,
        resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        clock,
        asked,
    )


def nodes() -> tuple[list[NodeFacts], int]:
    """Ask every node of the connected cluster.

    Returns:
        Their answers, and how many nodes gave none in a minute.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    probe: Any = ray.remote(here)
    asked: list[Any] = []
    for node in ray.nodes():  # type: ignore[no-untyped-call] # Ray has none
        if node["Alive"]:
            only = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = probe.options(num_cpus=0, scheduling_strategy=only, max_retries=0)
            asked.append(task.remote(float(node["Resources"].get("GPU", 0.0)), time.time()))
    ready, late = ray.wait(asked, num_returns=len(asked), timeout=_ANSWER_WITHIN)
    found, broken = [], len(late)
    for answer in ready:
        try:
            found.append(ray.get(answer))
        except ray.exceptions.RayError:
            broken += 1
    return sorted(found, key=lambda facts: facts.node), broken


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _cuda() -> int:
    if importlib.util.find_spec("torch") is None:
        return 0
    import torch

    return torch.cuda.device_count()
