"""Small reads of a remote store at a time, in order; on the local disk one after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from pyarrow import fs

from raypipe.errors import InputError
from raypipe.storage.ahead import in_order
from raypipe.storage.location import Location

LOCAL = Location(fs.LocalFileSystem(), "/")
REMOTE = Location(fs.SubTreeFileSystem("/", fs.LocalFileSystem()), "/", "far")

BOTH = pytest.mark.parametrize("place", [LOCAL, REMOTE], ids=["local", "remote"])


class Drawn(Iterator[int]):
    """Numbers that count how many of them were taken."""

    def __init__(self, count: int) -> None:
        self.numbers, self.taken = iter(range(count)), 0

    def __next__(self) -> int:
        number = next(self.numbers)
        self.taken += 1
        return number


@BOTH
def test_results_come_in_the_order_of_the_items(place) -> None:
    def slow(number: int) -> int:
        time.sleep(0.01 * (number % 3 == 0))
        return number * number

    assert list(in_order(slow, range(50), place)) == [number * number for number in range(50)]
    assert list(in_order(slow, [], place)) == []


def test_remote_reads_are_at_the_same_time() -> None:
    barrier = threading.Barrier(8)  # that only opens for eight at once
    assert len(list(in_order(lambda _: barrier.wait(10), range(8), REMOTE))) == 8


@pytest.mark.parametrize(("place", "most"), [(LOCAL, 0), (REMOTE, 32)])
def test_no_more_is_read_ahead_than_a_few(place, most) -> None:
    items = Drawn(200)
    results = in_order(lambda number: number, items, place)
    assert items.taken == 0
    for number in range(200):
        assert next(results) == number
        assert items.taken <= number + 1 + most


@BOTH
def test_an_error_comes_in_its_place_and_ends_the_reading(place) -> None:
    def fail(number: int) -> int:
        if number == 3:
            raise InputError("3 is broken", "mend it")
        return number

    items, found = Drawn(1000), []
    with pytest.raises(InputError, match="3 is broken"):
        found.extend(in_order(fail, items, place))
    assert found == [0, 1, 2]
    assert items.taken < 50
