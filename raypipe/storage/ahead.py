"""Many small reads of a remote store at a time, their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from raypipe.storage.location import Location

Item = TypeVar("Item")
Result = TypeVar("Result")

_THREADS = 16
"""Reads at a time: a small read of an object store is 10 to 50 ms of waiting."""


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], place: Location
) -> Iterator[Result]:
    """Yield what `work` returns for each item, in the items' order.

    On a remote store a few items are worked on ahead, so `work` must be fit for threads; on the
    local disk threads would gain nothing. No more results than twice the threads are held.

    Args:
        work: What to do with an item.
        items: Anything to iterate over; it is read as the results are.
        place: Where `work` reads.
    """
    if place.is_local:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="read") as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= 2 * _THREADS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # After an error, or when the caller has enough: what has not begun is not begun.
            pool.shutdown(wait=False, cancel_futures=True)
