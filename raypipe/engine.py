"""The only shared Ray code: connecting, and the two shapes of work that the steps have.

*Shards* stream through Ray Data: a light task reads and decodes one shard, an actor that holds
the network works on it and commits its tables, and only a summary row comes back. *Tasks* fan
out over classes with Ray Core, a bounded number in flight.

A row is a whole shard, so Ray never splits the unit of commit, and a retried row writes the same
files again. Nothing heavy passes through the driver.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import pyarrow as pa

from raypipe.config import EngineConfig
from raypipe.datasets.decode import ReadShard, seed_table
from raypipe.errors import ClusterUnavailableError, RaypipeError, from_json
from raypipe.progress import tracking

Item = TypeVar("Item")
Row = dict[str, Any]

_READER_CPUS = 0.25
"""CPUs a reading task asks for: it waits for storage half of the time."""

_ACTOR_CPUS = 0.75
"""CPUs an actor asks for where there is no GPU. With the reader's quarter one CPU holds one of
each, so reads are never starved, on 1 CPU as on many (an actor pool that takes every CPU makes
Ray Data wait for ever without an error)."""


class ShardWorker(ABC):
    """What an actor runs: built once in each actor, called once a shard."""

    @abstractmethod
    def __init__(self, context: Any) -> None:  # noqa: ANN401 -- each step has its own
        """Load the network."""

    @abstractmethod
    def __call__(self, row: Row) -> Row:
        """Work on one decoded shard, commit its tables; return `{"images": how many}`."""


class _Guarded:
    """A worker whose errors come back in its summary: Ray Data would lose all but their text."""

    def __init__(self, worker: type[ShardWorker], context: object) -> None:
        self._error = ""
        try:
            self._worker = worker(context)
        except RaypipeError as error:
            self._error = error.to_json()

    def __call__(self, row: Row) -> Row:
        if self._error:
            return {"images": 0, "error": self._error}
        try:
            return {"images": int(self._worker(row)["images"]), "error": ""}
        except RaypipeError as error:
            return {"images": 0, "error": error.to_json()}


@dataclass(frozen=True)
class Engine:
    """A connected Ray cluster.

    Attributes:
        cpus: Logical CPUs of the cluster.
        gpus: GPUs of the cluster.
        config: How wide to go.
    """

    cpus: float
    gpus: float
    config: EngineConfig

    @property
    def actors(self) -> int:
        """Network actors that fit: one a GPU share, else one a CPU."""
        if self.config.actors:
            return self.config.actors
        if self.gpus and self.config.gpus_per_actor:
            return max(1, int(self.gpus / self.config.gpus_per_actor))
        return max(1, int(self.cpus / (_ACTOR_CPUS + _READER_CPUS)))

    def shards(
        self,
        what: str,
        images: pa.Table,
        done: Container[str],
        read: ReadShard,
        worker: type[ShardWorker],
        context: object,
    ) -> None:
        """Stream the shards of an index that are not done yet through readers and actors.

        Args:
            what: Name of the work, for its progress.
            images: Rows of the images table.
            done: Shards that are committed already.
            read: Turns a shard's rows into pixels; runs in tasks.
            worker: Built once in each actor as `worker(context)`, called once a shard.
            context: Small and picklable; weights are loaded in the actor.

        Raises:
            RaypipeError: If a worker raised one.
        """
        sizes = Counter(images["shard"].to_pylist())
        left = [name for name in sizes if name not in done]
        with tracking(what, images.num_rows, "images") as tracker:
            tracker.advance(sum(count for name, count in sizes.items() if name in done))
            if left:
                for summary in self._stream(seed_table(images, left), read, worker, context):
                    if summary["error"]:
                        raise from_json(summary["error"])
                    tracker.advance(int(summary["images"]))

    def _stream(
        self, seed: pa.Table, read: ReadShard, worker: type[ShardWorker], context: object
    ) -> Iterator[Row]:
        """Yield the workers' summary rows as they come."""
        import ray
        import ray.data

        # 1. One block a shard, or Ray would hand all of a small table to one task.
        blocks = [seed.slice(at, 1) for at in range(seed.num_rows)]
        shards = ray.data.from_arrow(blocks)
        # 2. Read and decode: no state, so plain tasks.
        decoded = shards.map(read, num_cpus=_READER_CPUS)
        # 3. The network: actors, a whole shard a call.
        on_gpu = self.gpus > 0 and self.config.gpus_per_actor > 0
        summaries = decoded.map(
            cast("Callable[[Row], Row]", _Guarded),  # Ray builds classes itself; its type lacks it
            fn_constructor_args=(worker, context),
            compute=ray.data.ActorPoolStrategy(size=min(self.actors, max(1, seed.num_rows))),
            num_gpus=self.config.gpus_per_actor if on_gpu else 0,
            num_cpus=0 if on_gpu else _ACTOR_CPUS,
        )
        # 4. Only summaries come back.
        with _unwrapped():
            yield from summaries.iter_rows()

    def tasks(
        self,
        function: Callable[..., Any],
        items: Sequence[Item],
        *shared: object,
        cpus: float = 1.0,
    ) -> Iterator[tuple[Item, Any]]:
        """Call a function on each item in Ray tasks, at most two a CPU in flight.

        Args:
            function: Called as `function(item, *shared)` in a task; returns something small.
            items: In the order in which to start them: the longest first.
            shared: Further arguments, put into the object store once.
            cpus: CPUs a task asks for.

        Yields:
            Item and result, as they finish.

        Raises:
            RaypipeError: If the function raised one.
        """
        import ray

        remote = ray.remote(num_cpus=min(cpus, max(self.cpus, 1.0)))(function)
        common = [ray.put(argument) for argument in shared]
        window = max(2, int(2 * self.cpus))
        waiting: dict[Any, Item] = {}
        queue = iter(items)
        with _unwrapped():
            for item in queue:
                waiting[remote.remote(item, *common)] = item
                if len(waiting) >= window:
                    yield from _collect(waiting)
            while waiting:
                yield from _collect(waiting)


def _collect(waiting: dict[Any, Item]) -> Iterable[tuple[Item, Any]]:
    """Wait for the next task and return its item and result."""
    import ray

    ready, _ = ray.wait(list(waiting), num_returns=1)
    return [(waiting.pop(reference), ray.get(reference)) for reference in ready]


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Raise our own errors as themselves, not wrapped in Ray's."""
    from ray.exceptions import RayTaskError

    try:
        yield
    except RayTaskError as error:
        cause: BaseException | None = error
        while cause is not None:
            # Ray's own error is made an instance of its cause's class, with another constructor.
            if isinstance(cause, RaypipeError) and not isinstance(cause, RayTaskError):
                raise type(cause)(cause.message, cause.remedy) from None
            cause = cause.cause if isinstance(cause, RayTaskError) else cause.__cause__
        raise


@contextmanager
def connected(config: EngineConfig) -> Iterator[Engine]:
    """Join a running Ray cluster, or start a local one for as long as the context is open.

    Joined is, in this order: the cluster this process is connected to already, the configured
    address, `RAY_ADDRESS`, a cluster that runs on this machine. Only what was started here is
    stopped. A local cluster listens on every interface, as Ray does, so it is closed with a
    random token of its own, which never touches the disk.

    Raises:
        ClusterUnavailableError: If the cluster does not answer.
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
        yield _engine(config)
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _engine(config: EngineConfig) -> Engine:
    """Describe the connected cluster, and quieten Ray Data's own output."""
    import ray
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return Engine(float(resources.get("CPU", 1.0)), float(resources.get("GPU", 0.0)), config)


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
    """Raise if nobody listens at `host:port` or `ray://host:port`.

    Ray itself retries for a minute and then ends the process.

    Raises:
        ClusterUnavailableError: Naming the address.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
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
