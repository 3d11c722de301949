"""What runs in an actor or a reading task, and how its errors come back."""

from __future__ import annotations

import socket
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from raypipe.engine.measures import measures
from raypipe.errors import RaypipeError
from raypipe.stages import taken

if TYPE_CHECKING:
    from raypipe.loading.shard import DecodedShard, ReadShard

Row = dict[str, Any]


@dataclass(frozen=True)
class Summary:
    """What became of a shard; all that comes back of it.

    Attributes:
        shard: Its name.
        images: Images that were worked on.
        rejects: Images of these that were rejected.
        seconds: It took.
        node: Where.
        error: As JSON, if there was one.
    """

    shard: str
    images: int = 0
    rejects: int = 0
    seconds: float = 0.0
    node: str = ""
    error: str = ""

    def to_row(self) -> Row:
        """Return it as Ray Data takes it."""
        return asdict(self)


class ShardWorker(ABC):
    """What an actor runs: built once in each actor, called once a shard, by several threads."""

    @abstractmethod
    def __init__(self, context: Any) -> None:  # noqa: ANN401 -- each step has its own
        """Load the network."""

    @abstractmethod
    def __call__(self, shard: DecodedShard) -> None:
        """Work on one decoded shard and commit its tables."""


class Guarded:
    """A worker whose errors come back in its summary: Ray Data would lose all but their text.

    Args:
        worker: What to build.
        context: For it.
        read: Reads a shard here; None if the rows are decoded already.
        threads: Of a forward pass on a CPU.
        about: Names of the run and of the step.
        tries: Told of every shard that is begun.
    """

    def __init__(
        self, worker: type[ShardWorker], context: object, read: ReadShard | None, threads: int,
        about: tuple[str, str], tries: Any,  # noqa: ANN401 -- Ray's actor handles have no type
    ) -> None:  # fmt: skip
        self._read, self._threads, self._tries = read, threads, tries
        self._measures = measures(*about)
        self._error = ""
        try:
            self._worker = worker(context)
        except RaypipeError as error:
            self._error = error.to_json()

    def __call__(self, row: Row) -> Row:
        """Work on a shard; return what became of it, or the error."""
        import torch

        from raypipe.loading.shard import DecodedShard

        if error := self._error or row.get("error", ""):
            return Summary(row["shard"], error=error).to_row()
        self._tries.begin.remote(row["shard"])
        torch.set_num_threads(self._threads)  # each thread has its own number
        taken()  # what a shard left that ended in an error
        started = time.perf_counter()
        try:
            shard = self._read.decoded(row) if self._read else DecodedShard.from_row(row)
            self._worker(shard)
        except RaypipeError as error:
            return Summary(row["shard"], error=error.to_json()).to_row()
        seconds, spent = time.perf_counter() - started, taken()
        # What is no stage of its own is the step's: regions, matching, boxes.
        spent.seconds["compute"] = max(seconds - sum(spent.seconds.values()), 0.0)
        self._measures.time(spent)
        self._measures.commit(len(shard.image_ids), spent)
        rejects = spent.rejects.total()
        return Summary(
            row["shard"], len(shard.image_ids), rejects, seconds, socket.gethostname()
        ).to_row()


@dataclass(frozen=True)
class Reading:
    """A reader whose errors reach the driver like a worker's: in the row, past the network."""

    read: ReadShard
    about: tuple[str, str]

    def __call__(self, row: Row) -> Row:
        """Return the decoded shard as a row."""
        taken()
        try:
            decoded = self.read.decoded(row).to_row() | {"error": ""}
            measures(*self.about).time(taken())
            return decoded
        except RaypipeError as error:
            return {"shard": row["shard"], "facts": "", "pixels": b"", "error": error.to_json()}
