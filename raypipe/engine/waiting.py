"""Saying what work waits for, now and then: a node can take minutes to come, or for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from raypipe.engine.capacity import Capacity
from raypipe.progress import Tracker, say

_LOOK_EVERY = 1.0  # seconds
_FIRST_AFTER, _AGAIN_AFTER = 5.0, 60.0
"""Seconds without a node to work on until it is said, and said again."""

_STALLED_AFTER = 600.0
"""Seconds in which nothing was finished until it is said where there are nodes."""


@contextmanager
def telling(
    what: str, tracker: Tracker, *, on_gpu: bool, present: Callable[[], Capacity] = Capacity.now
) -> Iterator[None]:
    """While the context is open, say on stderr when work waits for the cluster.

    Nothing ends the waiting: spot capacity can take hours, and Ctrl-C loses nothing.

    Args:
        what: Name of the work.
        tracker: Its progress; work that goes on is not told of.
        on_gpu: Whether it waits for GPUs.
        present: Asks what the cluster has.
    """
    over = threading.Event()

    def watch() -> None:
        done, since, said = tracker.done, time.monotonic(), 0.0
        while not over.wait(_LOOK_EVERY):
            now = time.monotonic()
            if tracker.done != done:
                done, since, said = tracker.done, now, 0.0
                continue
            waited = now - since
            if waited < _FIRST_AFTER or (said and waited - said < _AGAIN_AFTER):
                continue
            if line := waiting_line(what, present(), waited, on_gpu=on_gpu):
                said = waited
                say(line)

    thread = threading.Thread(target=watch, name="raypipe-waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def waiting_line(what: str, capacity: Capacity, seconds: float, *, on_gpu: bool) -> str:
    """Return what to say after so many seconds without progress; empty if nothing yet.

    Args:
        what: Name of the work.
        capacity: What the cluster has.
        seconds: Since something was finished.
        on_gpu: Whether networks run on GPUs.
    """
    clock = f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"
    if on_gpu and not capacity.gpus:
        return (f"{what}: waiting for GPUs: the cluster has none yet ({clock}); Ctrl-C stops, "
                "--set engine.device=cpu uses CPUs")  # fmt: skip
    if not capacity.cpus:
        return f"{what}: waiting for CPUs: the cluster has none yet ({clock}); Ctrl-C stops"
    if seconds < _STALLED_AFTER:
        return ""
    return (f"{what}: nothing finished for {clock}; the cluster has {capacity.cpus:g} CPUs and "
            f"{capacity.gpus:g} GPUs")  # fmt: skip
