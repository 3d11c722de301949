"""A connected cluster, and the two shapes of work that the steps have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pyarrow as pa

from raypipe.config import EngineConfig
from raypipe.engine.workers import Guarded, Reading, Row, ShardWorker
from raypipe.errors import RaypipeError, from_json
from raypipe.progress import tracking
from raypipe.storage.commit import ShardCommit
from raypipe.storage.run import slug

if TYPE_CHECKING:
    from raypipe.loading.shard import ReadShard

Item = TypeVar("Item")

_READER_CPUS = 1.0
"""CPUs a reading task asks for: it decodes, a core's work."""

_CALLS_ON_CPU, _CALLS_ON_GPU = 2, 4
"""Shards an actor works on at a time: one is computed while others are read or committed."""


@dataclass(frozen=True)
class Needs:
    """What a task asks for.

    Attributes:
        cpus: CPUs, and threads.
        gpus: GPUs, where the cluster has any.
        memory: Bytes that it is expected to hold at its peak.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory: int = 0


@dataclass(frozen=True)
class Failed:
    """What an isolated task yields that failed.

    Attributes:
        reason: One line.
    """

    reason: str


@dataclass(frozen=True)
class Engine:
    """A connected Ray cluster.

    Attributes:
        cpus: Logical CPUs of the cluster.
        gpus: GPUs of the cluster.
        memory: Bytes of the node that has the most for tasks.
        config: How wide to go.
    """

    cpus: float
    gpus: float
    memory: int
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
            rows = rows.map(Reading(read), num_cpus=_READER_CPUS)
        # 3. The network: actors, a whole shard a call.
        threads = 1 if self.on_gpu else self.config.cpus_per_actor
        size = min(self.actors, shards.num_rows)
        calls = _CALLS_ON_GPU if self.on_gpu else _CALLS_ON_CPU
        if shards.num_rows < 2 * calls * size:
            calls = 1  # the actor that is up first would take what the others could do
        summaries = rows.map(
            cast("Callable[[Row], Row]", Guarded),  # Ray builds classes itself; its type lacks it
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
        needs: Callable[[Item], Needs] | None = None,
        isolated: bool = False,
    ) -> Iterator[tuple[Item, Any]]:
        """Call a function on each item in Ray tasks, at most two a CPU in flight.

        Args:
            function: Called as `function(item, *shared)` in a task; returns something small.
            items: In the order in which to start them: the longest first.
            shared: Further arguments, put into the object store once.
            needs: What the task of an item asks for; one CPU by default. Never more than there
                is: a task would wait for ever.
            isolated: A task that fails yields `Failed`, and the others go on.

        Yields:
            Item and result, as they finish.

        Raises:
            RaypipeError: If the function raised one, and failures are not isolated.
        """
        import ray

        remote = ray.remote(function)
        common = [ray.put(argument) for argument in shared]
        window = max(2, int(2 * self.cpus))
        waiting: dict[Any, Item] = {}
        with _unwrapped():
            for item in items:
                need = needs(item) if needs else Needs()
                options = remote.options(
                    num_cpus=min(need.cpus, max(self.cpus, 1.0)),
                    num_gpus=need.gpus if self.gpus else 0,
                    memory=min(need.memory, self.memory) or None,
                )
                waiting[options.remote(item, *common)] = item
                if len(waiting) >= window:
                    yield from _collect(waiting, isolated=isolated)
            while waiting:
                yield from _collect(waiting, isolated=isolated)


def _named(shards: pa.Table, slugs: set[str], *, other: bool = False) -> pa.Array:
    """Return which rows of the shards table are of these slugs, or of none of them."""
    names = shards["shard"].to_pylist()
    return pa.array([(slug(name) in slugs) != other for name in names], pa.bool_())


def _collect(waiting: dict[Any, Item], *, isolated: bool) -> Iterable[tuple[Item, Any]]:
    """Wait for the next task and return its item and result."""
    import ray

    ready, _ = ray.wait(list(waiting), num_returns=1)
    item = waiting.pop(ready[0])
    if not isolated:
        return [(item, ray.get(ready[0]))]
    try:
        return [(item, ray.get(ready[0]))]
    except ray.exceptions.RayError as error:
        return [(item, Failed(_reason(error)))]


def _reason(error: Exception) -> str:
    """Say in a line why a task failed."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, RaypipeError):
        return cause.message
    text = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {text[0] if text else ''}".removesuffix(": ")


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
