"""Joining a Ray cluster, or starting a local one for as long as it is needed."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raypipe.config import EngineConfig
from raypipe.engine.capacity import Capacity
from raypipe.engine.engine import Engine
from raypipe.errors import ClusterUnavailableError, ConfigError


@contextmanager
def connected(config: EngineConfig) -> Iterator[Engine]:
    """Join a running Ray cluster, or start a local one for as long as the context is open.

    Joined is, in this order: the cluster this process is connected to already, the configured
    address, `RAY_ADDRESS`, a cluster that runs on this machine. Only what was started here is
    stopped. A local cluster listens on every interface, as Ray does, so it is closed with a
    random token of its own, which never touches the disk.

    Raises:
        ClusterUnavailableError: If the cluster does not answer.
        ConfigError: If GPUs are asked for on this machine, which has none.
    """
    address = config.address or os.environ.get("RAY_ADDRESS", "") or _running_cluster()
    local = address in {"", "local"}
    if not local:
        _require_answer(address)
    if local and "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        # Ray reads these when it is imported; without them it writes a token to ~/.ray.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(16)
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray's core warns on stderr of every Ray Data actor pool; its log files keep everything else.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    if ray.is_initialized():
        yield _engine(config)
        return
    # A folder of its own keeps other programs from taking this cluster for a public one.
    folder = tempfile.mkdtemp(prefix="raypipe-") if local else None
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if local:
        options |= {"num_cpus": config.cpus or None, "include_dashboard": False,
                    "_temp_dir": folder}  # fmt: skip
    try:
        with _silenced_stderr():
            ray.init(address="local" if local else address, **options)
    except (ConnectionError, RuntimeError, ray.exceptions.RayError) as error:
        reason = str(error).splitlines()[0]
        raise ClusterUnavailableError(
            f"Ray cluster {address or 'on this machine'}: no connection ({reason})",
            "check the address and the token (RAY_AUTH_TOKEN), or pass --address local",
        ) from None
    try:
        yield _engine(config, local=local)
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _engine(config: EngineConfig, *, local: bool = False) -> Engine:
    """Say where networks run, and set Ray Data up: quiet, and patient with a cluster's nodes.

    Raises:
        ConfigError: If GPUs are asked for and the cluster was started here, on a machine that has
            none: they would never come.
    """
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # Half an hour without a node is no error on spot capacity; `waiting` says what is missing.
    context.execution_no_progress_timeout_s = -1
    # An actor that does not come up on a node that is being taken away is replaced.
    context.max_consecutive_actor_init_deaths = 3
    # A pool grows when all its actors are busy: they are never given more than they work on.
    context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0
    # And gives an actor up when they have one shard in four: at two in four they are not idle yet.
    context.autoscaling_config.actor_pool_util_downscaling_threshold = 0.25
    gpus = Capacity.now().gpus
    if config.device == "gpu" and local and not gpus:
        raise ConfigError(
            "engine.device = gpu: this machine has no GPU",
            "use engine.device = cpu, or join a cluster that can start GPU nodes (--address)",
        )
    return Engine(config, config.device == "gpu" or (config.device == "auto" and gpus > 0))


@contextmanager
def _silenced_stderr() -> Iterator[None]:
    """Drop what Ray's core writes on stderr while it starts; errors still come as exceptions."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _require_answer(address: str) -> None:
    """Raise if nobody listens at `host:port`, or it is the address of Ray's client.

    Ray itself retries for a minute and then ends the process.

    Raises:
        ClusterUnavailableError: Naming the address.
    """
    if address.startswith("ray://"):
        raise ClusterUnavailableError(
            f"Ray cluster {address}: Ray Data does not run through Ray's client",
            "run the command on the cluster: raypipe submit COMMAND --address http://HEAD:8265",
        )
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        return  # `auto` and the like: Ray knows them
    try:
        socket.create_connection((host, int(port)), timeout=10.0).close()
    except OSError as error:
        raise ClusterUnavailableError(
            f"Ray cluster {address}: no connection ({error.strerror or error})",
            "check the address, or pass --address local",
        ) from None


def _running_cluster() -> str:
    """Return the address of a Ray cluster on this machine that answers, or an empty string."""
    folder = Path(os.environ.get("RAY_TMPDIR", tempfile.gettempdir()))
    try:
        address = (folder / "ray" / "ray_current_cluster").read_text(encoding="utf-8").strip()
        host, port = address.rsplit(":", 1)
        # The file outlives a killed cluster: an address that does not answer is a stale one.
        with socket.create_connection((host, int(port)), timeout=1.0):
            return address
    except (OSError, ValueError):
        return ""
