"""Progress of long work: a bar on a terminal, a line now and then in a log. Always on stderr."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(stderr=True, highlight=False)
"""Where words go; results go to stdout."""

interrupted = threading.Event()
"""Set by Ctrl-C. Ray can swallow the KeyboardInterrupt while it is in a callback, so progress,
which is made in the main thread all the time, raises it again."""

_LINE_EVERY = 30.0  # seconds between lines where there is no terminal


class Tracker:
    """Counts finished units of one piece of work.

    Attributes:
        done: Units finished so far.
    """

    def __init__(self, what: str, total: int, unit: str, bar: Progress | None) -> None:
        self.done = self._skipped = 0
        self._what, self._total, self._unit, self._bar = what, total, unit, bar
        self._started = self._last = time.monotonic()
        self._task = bar.add_task(what, total=total) if bar else None

    def skip(self, units: int) -> None:
        """Count units that were finished before: they say nothing of the rate."""
        self.done += units
        self._skipped += units
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self.done)

    def advance(self, units: int, note: str = "") -> None:
        """Count units as finished.

        Args:
            units: How many.
            note: A word on what is going on, shown beside the numbers.

        Raises:
            KeyboardInterrupt: If Ctrl-C was pressed and went unheard.
        """
        if interrupted.is_set():
            raise KeyboardInterrupt
        self.done += units
        if self._bar is not None and self._task is not None:
            what = f"{self._what} ({note})" if note else self._what
            self._bar.update(self._task, advance=units, description=what)
        elif time.monotonic() - self._last > _LINE_EVERY:
            self._last = time.monotonic()
            rate = (self.done - self._skipped) / max(self._last - self._started, 1e-9)
            left = (self._total - self.done) / max(rate, 1e-9)
            say(f"{self._what}: {self.done}/{self._total} {self._unit}, "
                f"{rate:.1f} a second, {left:.0f} s left{f'; {note}' if note else ''}")  # fmt: skip


def say(text: str) -> None:
    """Print a line of information on stderr."""
    console.print(text, markup=False, soft_wrap=True)


@contextmanager
def tracking(what: str, total: int, unit: str) -> Iterator[Tracker]:
    """Show the progress of a piece of work while the context is open.

    Args:
        what: What is being done.
        total: Units in all.
        unit: Name of a unit, in the plural.
    """
    if not (console.is_terminal and sys.stderr.isatty()):
        yield Tracker(what, total, unit, None)
        return
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn(unit), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        yield Tracker(what, total, unit, bar)
