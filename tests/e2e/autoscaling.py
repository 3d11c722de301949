"""A cluster whose autoscaler starts and ends nodes on this machine, as a cloud's would."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID

_HEAD = "ray.head.default"
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray takes 127.0.0.1 for the machine's address, and so listens nowhere else."""

_STORE = 100_000_000  # bytes of a node's object store


@dataclass(frozen=True)
class Autoscaling:
    """A head without GPUs, and up to two nodes that claim one each.

    Attributes:
        address: Of the head.
        head: The process that started it.
    """

    address: str
    head: psutil.Process

    def nodes(self) -> list[psutil.Process]:
        """Return the nodes that the autoscaler has started and that are alive: their raylets."""
        found = []
        for process in self.head.children(recursive=True):
            with suppress(psutil.Error):  # it may end between two looks
                if "raylet/raylet" in command_line(process) and "monitor.py" in command_line(
                    process.parent()
                ):
                    found.append(process)
        return found

    def drive(self, *words: object, log: Path) -> subprocess.Popen[bytes]:
        """Start `raypipe` as a driver of this cluster."""
        with log.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "raypipe", *map(str, words)],
                env=os.environ | LOOPBACK, stdout=file, stderr=file, stdin=subprocess.DEVNULL,
            )  # fmt: skip


def workers(node: psutil.Process) -> list[psutil.Process]:
    """Return the processes of a node that hold networks."""
    with suppress(psutil.NoSuchProcess):
        return [
            child for child in node.children() if command_line(child).startswith("ray::MapWorker")
        ]
    return []


def lose(node: psutil.Process) -> None:
    """Take a node away without a word, as a cloud may: the raylet and all that it started."""
    for process in [node, *node.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def command_line(process: psutil.Process | None) -> str:
    """Return a command line; of a process that has ended, nothing."""
    try:
        return " ".join(process.cmdline()) if process else ""
    except psutil.Error:
        return ""


@contextmanager
def autoscaling(*, v2: bool) -> Iterator[Autoscaling]:
    """Start such a cluster with Ray's first or second autoscaler, on loopback, and end it."""
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    env = {
        "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        # A lost node is noticed after 2 seconds, not 15; one that is slow to answer still has 10.
        "RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "4",
    }  # fmt: skip
    if v2:
        env |= {"RAY_enable_autoscaler_v2": "1", "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
                "RAY_NODE_TYPE_NAME": _HEAD}  # fmt: skip
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
        json.dump(_config(address, v2=v2), config)
        config.flush()
        words = ("--num-cpus", "1", "--include-dashboard", "false", "--autoscaling-config",
                 config.name)  # fmt: skip
        with head(port, words, env, port) as process:
            yield Autoscaling(address, process)


@contextmanager
def head(
    port: int, words: Sequence[str], env: Mapping[str, str], answers: int
) -> Iterator[psutil.Process]:
    """Start the head of a cluster on loopback, and end it and all that it has started.

    Args:
        port: Of the cluster.
        words: Further options of `ray start`.
        env: Further variables.
        answers: Port that is open once the head is up.
    """
    folder = Path(tempfile.mkdtemp(prefix="head-"))  # sockets' paths must be short
    command = [
        str(Path(sys.executable).parent / "ray"), "start", "--head", "--block",
        "--node-ip-address", "127.0.0.1", "--port", str(port), "--num-gpus", "0",
        "--object-store-memory", str(_STORE), "--disable-usage-stats", "--temp-dir", str(folder),
        *words,
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        started = subprocess.Popen(
            command, env=os.environ | LOOPBACK | {"RAY_TMPDIR": str(folder)} | env, stdout=log,
            stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    try:
        _wait_for(answers, started, folder / "log")
        yield psutil.Process(started.pid)
    finally:
        _end(started)
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody has now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for taken in sockets:
            taken.bind(("127.0.0.1", 0))
        return [int(taken.getsockname()[1]) for taken in sockets]


def _config(address: str, *, v2: bool) -> dict[str, object]:
    """Return the configuration, complete.

    As a provider of type fake_multinode Ray would read defaults from a file that its wheel lacks.
    """
    provider = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
    return {
        "cluster_name": "fake",
        "max_workers": 2,
        "idle_timeout_minutes": 0.05,
        "provider": {
            "type": "external", "module": provider, "gcs_address": address,
            "head_node_id": FAKE_HEAD_NODE_ID, "launch_multiple": v2,
            "use_node_id_as_ip": True,  # all nodes share this machine's address
            "disable_node_updaters": True, "disable_launch_config_check": True,
        },
        "head_node_type": _HEAD,
        "available_node_types": {
            _HEAD: {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
            "gpu": {
                "resources": {"CPU": 1, "GPU": 1, "object_store_memory": _STORE},
                "node_config": {}, "min_workers": 0, "max_workers": 2,
            },
        },
        "auth": {}, "head_node": {}, "worker_nodes": {}, "docker": {},
        "file_mounts": {}, "cluster_synced_files": [], "file_mounts_sync_continuously": False,
        "initialization_commands": [], "setup_commands": [], "head_setup_commands": [],
        "worker_setup_commands": [], "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
    }  # fmt: skip


def _wait_for(port: int, started: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and started.poll() is None:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.1)
    raise RuntimeError(f"no cluster at port {port}: {log.read_text(errors='replace')}")


def _end(started: subprocess.Popen[bytes]) -> None:
    """Kill every process of the session that was opened for the cluster, and no other."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getsid(process.pid) == started.pid:
                os.kill(process.pid, signal.SIGKILL)
    started.wait()
