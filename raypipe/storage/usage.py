"""What a step used of a cluster, written down while it runs.

One small file an attempt, in `usage/<step>/`, replaced now and then: a driver that is killed loses
half a minute of its account. No fingerprint knows of it.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from raypipe.errors import RaypipeError
from raypipe.storage.location import Location
from raypipe.storage.run import Run, slug

_LOOK_EVERY, _WRITE_EVERY = 5.0, 30.0  # seconds


@dataclass(frozen=True)
class Node:
    """A node that is, or was, part of the cluster.

    Attributes:
        id: Ray's.
        alive: Whether it is.
        lost: Whether it went without being sent away.
        machine: What it is called on a bill, as g6.4xlarge; else its type in the cluster's file;
            else its size.
        market: spot, on-demand, or empty where no label says.
        cpus: Logical CPUs.
        gpus: GPUs.
    """

    id: str
    alive: bool
    lost: bool
    machine: str
    market: str
    cpus: float
    gpus: float


@dataclass
class Kind:
    """Nodes of one kind: how they are called, and for how long there were any.

    Attributes:
        machine: Kind of machine.
        market: spot, on-demand or empty.
        seconds: Sum over its nodes.
        cpus: Of one node.
        gpus: Of one node.
    """

    machine: str
    market: str
    cpus: float
    gpus: float
    seconds: float = 0.0


@dataclass
class Attempt:
    """What one process used for one step.

    Attributes:
        step: Name of the step.
        began: UTC time, ISO 8601.
        seconds: Until it ended, or the file was last written.
        finished: Whether it came to its end, with or without an error.
        kinds: The cluster's nodes by kind; the head among them.
        lost: Nodes that went without being sent away.
        retries: Shards that were begun again, of those streamed to actors.
        present: Nodes, CPUs and GPUs of the cluster when it was last written.
        written: When that was, UTC, ISO 8601.
    """

    step: str
    began: str
    seconds: float = 0.0
    finished: bool = False
    kinds: list[Kind] = field(default_factory=list)
    lost: int = 0
    retries: int = 0
    present: dict[str, float] = field(default_factory=dict)
    written: str = ""


@contextmanager
def recording(
    run: Run, step: str, nodes: Callable[[], Iterable[Node]], tally: Mapping[str, int]
) -> Iterator[None]:
    """Write down what a step uses while the context is open.

    Args:
        run: The run directory.
        step: Name of the step.
        nodes: The nodes of the cluster as it is; none before it is joined.
        tally: Its `retries` are read in the end.
    """
    attempt = Attempt(step, datetime.now(UTC).isoformat(timespec="milliseconds"))
    place = _folder(run, step) / f"{attempt.began.replace(':', '')}-{uuid4().hex[:6]}.json"
    account, over = _Account(attempt), threading.Event()

    def watch() -> None:
        written, present = 0.0, dict[str, float]()
        while not over.wait(_LOOK_EVERY):
            account.add(nodes)
            if attempt.present != present or time.monotonic() - written > _WRITE_EVERY:
                written, present = time.monotonic(), attempt.present
                _write(place, attempt)

    thread = threading.Thread(target=watch, name="raypipe-usage", daemon=True)
    account.add(nodes)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        account.add(nodes)
        attempt.finished, attempt.retries = True, tally.get("retries", 0)
        _write(place, attempt)


def attempts(run: Run) -> list[Attempt]:
    """Return all attempts of all steps, in the order in which they began."""
    found = []
    root = run.root / "usage"
    for path in root.files():
        content = json.loads((root / path).read_text())
        kinds = [Kind(**kind) for kind in content.pop("kinds")]
        found.append(Attempt(**content, kinds=kinds))
    return sorted(found, key=lambda attempt: attempt.began)


class _Account:
    """Adds up what an attempt uses, look by look."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._began = self._last = time.monotonic()
        self._lost: Counter[str] | None = None
        self._kinds: dict[tuple[str, str, float, float], Kind] = {}

    def add(self, nodes: Callable[[], Iterable[Node]]) -> None:
        """Count the time since the last look for all nodes that there are now."""
        now = time.monotonic()
        passed, self._last = now - self._last, now
        self._attempt.seconds = round(now - self._began, 2)
        try:
            seen = list(nodes())
        except Exception:  # noqa: BLE001 -- an account is no reason for the work to fail
            return
        if not seen:
            return
        for node in seen:
            if node.alive:
                key = (node.machine, node.market, node.cpus, node.gpus)
                kind = self._kinds.setdefault(key, Kind(*key))
                kind.seconds = round(kind.seconds + passed, 2)
        alive = [node for node in seen if node.alive]
        self._attempt.present = {
            "nodes": len(alive),
            "cpus": sum(node.cpus for node in alive),
            "gpus": sum(node.gpus for node in alive),
        }
        self._attempt.kinds = sorted(self._kinds.values(), key=lambda kind: kind.machine)
        lost = Counter(node.id for node in seen if node.lost)
        if self._lost is None:
            self._lost = lost  # before this step
        self._attempt.lost = len(lost - self._lost)


def _folder(run: Run, step: str) -> Location:
    return run.root / "usage" / slug(step)


def _write(place: Location, attempt: Attempt) -> None:
    attempt.written = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        place.write_bytes((json.dumps(asdict(attempt), indent=1) + "\n").encode())
    except RaypipeError:
        return  # the step's own writing says what is wrong with the store
