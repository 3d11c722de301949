"""A connected cluster, and the two shapes of work that the steps have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pyarrow as pa

from raypipe.config import EngineConfig
from raypipe.engine.capacity import Capacity, Pool
from raypipe.engine.measures import measures
from raypipe.engine.tries import counted, counting
from raypipe.engine.waiting import telling
from raypipe.engine.workers import Guarded, Reading, Row, ShardWorker, Summary
from raypipe.errors import RaypipeError, from_json
from raypipe.progress import detail, say, tracking
from raypipe.storage.commit import ShardCommit
from raypipe.storage.run import slug

if TYPE_CHECKING:
    from raypipe.loading.shard import ReadShard

Item = TypeVar("Item")

_READER_CPUS = 1.0
"""CPUs a reading task asks for: it decodes, a core's work."""

_LOOK_AGAIN = 10.0
"""Seconds without a finished task after which the cluster may have grown."""


@dataclass(frozen=True)
class Needs:
    """What a task asks for.

    Attributes:
        cpus: CPUs, and threads.
        gpus: GPUs, where networks run on them.
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
    """A connected Ray cluster, which may grow and shrink.

    Attributes:
        config: How wide to go.
        on_gpu: Whether networks run on GPUs; that can be before the cluster has any.
        tally: `retries`: shards that were begun again because a worker was lost.
    """

    config: EngineConfig
    on_gpu: bool
    tally: Counter[str] = field(default_factory=Counter)

    @property
    def actors(self) -> int:
        """Network actors that fit the cluster as it is."""
        return Capacity.now().actors(self.config, on_gpu=self.on_gpu)

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
        metrics = measures(*_about(commit))
        with tracking(what, sum(shards["images"].to_pylist()), "images") as tracker:
            tracker.skip(sum(shards.filter(_named(shards, done))["images"].to_pylist()))
            metrics.left(tracker.left)
            with telling(what, tracker, on_gpu=self.on_gpu):
                for summary in self._stream(what, left, commit, read, worker, context):
                    tracker.advance(summary.images)
                    metrics.left(tracker.left)
        if not retry:
            return
        reread = replace(read, rejects=rejects)
        what = f"{what} rejects"
        with (
            tracking(what, rejects.count(), "images") as tracker,
            telling(what, tracker, on_gpu=self.on_gpu),
        ):
            for summary in self._stream(what, again, commit, reread, worker, context):
                tracker.advance(summary.images)

    def _stream(
        self,
        what: str,
        shards: pa.Table,
        commit: ShardCommit,
        read: ReadShard,
        worker: type[ShardWorker],
        context: object,
    ) -> Iterator[Summary]:
        """Yield the workers' summary rows as they come.

        Raises:
            RaypipeError: If a reader or a worker raised one.
        """
        if not shards.num_rows:
            return
        import ray
        import ray.data

        # 1. One block a shard, or Ray would hand all of a small table to one task. (From a table it
        #    would look at each block in a task that takes a CPU, and have nodes started for that.)
        rows: ray.data.Dataset = ray.data.from_items(
            shards.to_pylist(), override_num_blocks=shards.num_rows
        )
        # 2. Read and decode. For GPUs in tasks, on every CPU of the cluster; where CPUs compute,
        #    in the actor itself: pixels cross no border, and no task has to wait for a CPU that
        #    the actors hold (Ray Data would wait for ever without an error).
        about = _about(commit)
        if self.on_gpu:
            rows = rows.map(Reading(read, about), num_cpus=_READER_CPUS)
        # 3. The network: actors, a whole shard a call. They come and go with the cluster.
        capacity = Capacity.now()
        threads = 1 if self.on_gpu else self.config.cpus_per_actor
        fitting = capacity.actors(self.config, on_gpu=self.on_gpu)
        pool = Pool.of(self.config, fitting, shards.num_rows, on_gpu=self.on_gpu)
        say(f"{what}: {pool.words(fitting, on_gpu=self.on_gpu)}")
        tries = counting()
        summaries = rows.map(
            cast("Callable[[Row], Row]", Guarded),  # Ray builds classes itself; its type lacks it
            fn_constructor_args=(
                worker,
                context,
                None if self.on_gpu else read,
                threads,
                about,
                tries,
            ),
            compute=ray.data.ActorPoolStrategy(
                min_size=pool.least,
                max_size=pool.most,
                max_tasks_in_flight_per_actor=pool.calls,
                max_concurrent_calls_per_actor=pool.calls,
                enable_true_multi_threading=True,
            ),
            num_gpus=self.config.gpus_per_actor if self.on_gpu else 0,
            num_cpus=0 if self.on_gpu else min(threads, capacity.cpus or threads),
        )
        # 4. Only summaries come back.
        with _unwrapped():
            for row in summaries.iter_rows():
                summary = Summary(**row)
                if summary.error:
                    raise from_json(summary.error)
                detail(f"{what}: shard done", asdict(summary))
                yield summary
            self.tally["retries"] += counted(tries)

    def tasks(
        self,
        function: Callable[..., Any],
        items: Sequence[Item],
        *shared: object,
        needs: Callable[[Item], Needs] | None = None,
        isolated: bool = False,
    ) -> Iterator[tuple[Item, Any]]:
        """Call a function on each item in Ray tasks, at most two a CPU in flight.

        As many tasks wait as run: that is what an autoscaler starts nodes for.

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
        left = iter(items)
        waiting: dict[Any, Item] = {}
        with _unwrapped():
            while True:
                capacity = Capacity.now()
                window = max(2, int(2 * capacity.cpus))
                for item in islice(left, max(0, window - len(waiting))):
                    need = needs(item) if needs else Needs()
                    options = remote.options(
                        num_cpus=min(need.cpus, max(capacity.cpus, 1.0)),
                        num_gpus=need.gpus if self.on_gpu else 0,
                        memory=min(need.memory, capacity.memory) or None,
                    )
                    waiting[options.remote(item, *common)] = item
                if not waiting:
                    return
                yield from _collect(waiting, isolated=isolated)


def _about(commit: ShardCommit) -> tuple[str, str]:
    """Return the names of run and step, as metrics tell them."""
    return commit.run.root.name, commit.plan.step


def _named(shards: pa.Table, slugs: set[str], *, other: bool = False) -> pa.Array:
    """Return which rows of the shards table are of these slugs, or of none of them."""
    names = shards["shard"].to_pylist()
    return pa.array([(slug(name) in slugs) != other for name in names], pa.bool_())


def _collect(waiting: dict[Any, Item], *, isolated: bool) -> Iterable[tuple[Item, Any]]:
    """Wait for the next task and return its item and result; nothing if it takes long."""
    import ray

    ready, _ = ray.wait(list(waiting), num_returns=1, timeout=_LOOK_AGAIN)
    if not ready:
        return []
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
