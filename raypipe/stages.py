"""Where the time of a shard goes, and why its images are rejected, kept by the thread at work.

The code that works on a shard knows nothing of metrics: it says which stage it is in, and whoever
called it takes the sums when the shard is done.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Spent:
    """Sums of one shard.

    Attributes:
        seconds: By stage.
        rejects: Images by the reason of their rejection.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    rejects: Counter[str] = field(default_factory=Counter)


class _Thread(threading.local):
    def __init__(self) -> None:
        self.spent = Spent()


_thread = _Thread()


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the seconds that the context is open, for a stage of this thread's shard.

    Args:
        name: read, decode, forward or commit; stages do not nest.
    """
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds = _thread.spent.seconds
        seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started


def rejected(reasons: Iterable[str]) -> None:
    """Count images of this thread's shard that were rejected."""
    _thread.spent.rejects.update(reasons)


def taken() -> Spent:
    """Return what was counted since the last call in this thread, and begin anew."""
    spent, _thread.spent = _thread.spent, Spent()
    return spent
