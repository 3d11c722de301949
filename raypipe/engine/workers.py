"""What runs in an actor or a reading task, and how its errors come back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raypipe.errors import RaypipeError

if TYPE_CHECKING:
    from raypipe.loading.shard import DecodedShard, ReadShard

Row = dict[str, Any]


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
        """Work on a shard; return how many images it has, or the error."""
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
class Reading:
    """A reader whose errors reach the driver like a worker's: in the row, past the network."""

    read: ReadShard

    def __call__(self, row: Row) -> Row:
        """Return the decoded shard as a row."""
        try:
            return self.read.decoded(row).to_row() | {"error": ""}
        except RaypipeError as error:
            return {"shard": row["shard"], "facts": "", "pixels": b"", "error": error.to_json()}
