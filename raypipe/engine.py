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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pyarrow as pa

from raypipe.config import EngineConfig
from raypipe.errors import ClusterUnavailableError, RaypipeError, from_json
from raypipe.progress import tracking
from raypipe.storage.commit import ShardCommit
from raypipe.storage.run import slug

if TYPE_CHECKING:
    from raypipe.loading.shard import DecodedShard, ReadShard

Item = TypeVar("Item")
Row = dict[str, Any]

_READER_CPUS = 1.0
"""CPUs a reading task asks for: it decodes, a core's work."""

_CALLS_ON_CPU, _CALLS_ON_GPU = 2, 4
"""Shards an actor works on at a time: one is computed while others are read or committed."""


class ShardWorker(ABC):
    """What an actor runs: built once in each actor, called once a shard, by several threads."""

    @abstractmethod
    def __init__(self, context: Any) -> None:  # noqa: ANN401 -- each step has its own
        """Load the network."""

    @abstractmethod
    def __call__(self, shard: DecodedShard) -> None:
        """Work on one decoded shard and commit its tables."""


class _Guarded:
    """A worker whose errors come back in its summary: Ray Data would lose all but their text.

    Args:
        worker: What to build.
        context: For it.
        read: Reads a shard here; None if the rows are decoded already.
        threads: Of a forward pass on a CPU.
    """

    def __init__(
        self, worker: type[ShardWorker], context: object, read: ReadShard | None, threads: int
    ) -> None:
        self._read, self._threads = read, threads
        self._error = ""
        try:
            self._worker = worker(context)
        except RaypipeError as error:
            self._error = error.to_json()

    def __call__(self, row: Row) -> Row:
        import torch

        from raypipe.loading.shard import DecodedShard

        if error := self._error or row.get("error", ""):
            return {"images": 0, "error": error}
        torch.set_num_threads(self._threads)  # each thread has its own number
        try:
            shard = self._read.decoded(row) if self._read else DecodedShard.from_row(row)
            self._worker(shard)
        except RaypipeError as error:
            return {"images": 0, "error": error.to_json()}
        return {"images": len(shard.image_ids), "error": ""}


@dataclass(frozen=True)
class _Reading:
    """A reader whose errors reach the driver like a worker's: in the row, past the network."""

    read: ReadShard

    def __call__(self, row: Row) -> Row:
        try:
            return self.read.decoded(row).to_row() | {"error": ""}
        except RaypipeError as error:
            return {"shard": row["shard"], "facts": "", "pixels": b"", "error": error.to_json()}


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
    def on_gpu(self) -> bool:
        """Whether networks run on GPUs."""
        return self.gpus > 0 and self.config.gpus_per_actor > 0

    @property
    def actors(self) -> int:
        """Network actors that fit: one a GPU share, else one for so many CPUs."""
        if self.config.actors:
            return self.config.actors
        if self.on_gpu:
            return max(1, int(self.gpus / self.config.gpus_per_actor))
        return max(1, int(self.cpus / self.config.cpus_per_actor))

    def shards(
        self,
        what: str,
        shards: pa.Table,
        commit: ShardCommit,
        read: ReadShard,
        worker: type[ShardWorker],
        context: object,
        *,
        retry: bool = False,
    ) -> None:
        """Stream the shards of an index that are not done yet through readers and actors.

        Args:
            what: Name of the work, for its progress.
            shards: Rows of the shards table.
            commit: Says which shards are committed, and which of those hold rejects.
            read: Turns a shard's rows into pixels; runs in tasks.
            worker: Built once in each actor as `worker(context)`, called once a shard.
            context: Small and picklable; weights are loaded in the actor.
            retry: Afterwards, try the rejects of committed shards again.

        Raises:
            RaypipeError: If a reader or a worker raised one.
        """
        done, rejects = commit.done(), commit.rejects
        again = shards.filter(_named(shards, rejects.done() & done))
        left = shards.filter(_named(shards, done, other=True))
        with tracking(what, sum(shards["images"].to_pylist()), "images") as tracker:
            tracker.skip(sum(shards.filter(_named(shards, done))["images"].to_pylist()))
            for summary in self._stream(left, read, worker, context):
                tracker.advance(int(summary["images"]))
        if not retry:
            return
        reread = replace(read, rejects=rejects)
        with tracking(f"{what} rejects", rejects.count(), "images") as tracker:
            for summary in self._stream(again, reread, worker, context):
                tracker.advance(int(summary["images"]))

    def _stream(
        self, shards: pa.Table, read: ReadShard, worker: type[ShardWorker], context: object
    ) -> Iterator[Row]:
        """Yield the workers' summary rows as they come.

        Raises:
            RaypipeError: If a reader or a worker raised one.
        """
        if not shards.num_rows:
            return
        import ray
        import ray.data

        # 1. One block a shard, or Ray would hand all of a small table to one task.
        rows: ray.data.Dataset = ray.data.from_arrow(
            [shards.slice(at, 1) for at in range(shards.num_rows)]
        )
        # 2. Read and decode. For GPUs in tasks, on every CPU of the cluster; where CPUs compute,
        #    in the actor itself: pixels cross no border, and no task has to wait for a CPU that
        #    the actors hold (Ray Data would wait for ever without an error).
        if self.on_gpu:
            rows = rows.map(_Reading(read), num_cpus=_READER_CPUS)
        # 3. The network: actors, a whole shard a call.
        threads = 1 if self.on_gpu else self.config.cpus_per_actor
        size = min(self.actors, shards.num_rows)
        calls = _CALLS_ON_GPU if self.on_gpu else _CALLS_ON_CPU
        if shards.num_rows < 2 * calls * size:
            calls = 1  # the actor that is up first would take what the others could do
        summaries = rows.map(
            cast("Callable[[Row], Row]", _Guarded),  # Ray builds classes itself; its type lacks it
            fn_constructor_args=(worker, context, None if self.on_gpu else read, threads),
            compute=ray.data.ActorPoolStrategy(
                size=size,
                max_tasks_in_flight_per_actor=calls,
                max_concurrent_calls_per_actor=calls,
                enable_true_multi_threading=True,
            ),
            num_gpus=self.config.gpus_per_actor if self.on_gpu else 0,
            num_cpus=0 if self.on_gpu else min(threads, self.cpus),
        )
        # 4. Only summaries come back.
        with _unwrapped():
            for summary in summaries.iter_rows():
                if summary["error"]:
                    raise from_json(summary["error"])
                yield summary

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


def _named(shards: pa.Table, slugs: set[str], *, other: bool = False) -> pa.Array:
    """Return which rows of the shards table are of these slugs, or of none of them."""
    names = shards["shard"].to_pylist()
    return pa.array([(slug(name) in slugs) != other for name in names], pa.bool_())


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
