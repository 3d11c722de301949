"""Progress of long work: a bar on a terminal, a line now and then in a log. Always on stderr.

With `RAYPIPE_LOG_FORMAT=json` every line is a JSON object, for whatever collects logs.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

from rich.console import Console, RenderableType
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

LOG_FORMAT = "RAYPIPE_LOG_FORMAT"
"""Variable: json, or text as without it."""

_about: ContextVar[dict[str, str]] = ContextVar("about", default={})  # noqa: B039 -- never changed

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

    @property
    def left(self) -> int:
        """Units that are not finished."""
        return self._total - self.done

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
            numbers = {"done": self.done, "total": self._total, "unit": self._unit,
                       "rate": round(rate, 2), "seconds_left": round(left)}  # fmt: skip
            say(f"{self._what}: {self.done}/{self._total} {self._unit}, "
                f"{rate:.1f} a second, {left:.0f} s left{f'; {note}' if note else ''}",
                numbers)  # fmt: skip


def say(
    text: str,
    numbers: Mapping[str, object] | None = None,
    level: Literal["debug", "info", "error"] = "info",
) -> None:
    """Print a line of information on stderr.

    Args:
        text: The line.
        numbers: What it tells, for a log of JSON.
        level: For a log of JSON.
    """
    if not logs_json():
        console.print(text, markup=False, soft_wrap=True)
        return
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": level,
        "message": text,
        **_about.get(),
        **(numbers or {}),
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
    sys.stderr.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
    sys.stderr.flush()


def show(table: RenderableType) -> None:
    """Print a table for people on stderr; a log of JSON goes without."""
    if not logs_json():
        console.print(table)


def detail(text: str, numbers: Mapping[str, object]) -> None:
    """Write a line that only a log of JSON has: people look at the bar."""
    if logs_json():
        say(text, numbers, "debug")


def logs_json() -> bool:
    """Whether lines are JSON objects."""
    return os.environ.get(LOG_FORMAT, "") == "json"


@contextmanager
def about(run: str, step: str) -> Iterator[None]:
    """Name run and step in every JSON line that this context writes.

    Args:
        run: The run directory.
        step: Name of the step.
    """
    token = _about.set({"run": run, "step": step})
    try:
        yield
    finally:
        _about.reset(token)


@contextmanager
def tracking(what: str, total: int, unit: str) -> Iterator[Tracker]:
    """Show the progress of a piece of work while the context is open.

    Args:
        what: What is being done.
        total: Units in all.
        unit: Name of a unit, in the plural.
    """
    if logs_json() or not (console.is_terminal and sys.stderr.isatty()):
        yield Tracker(what, total, unit, None)
        return
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn(unit), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        yield Tracker(what, total, unit, bar)
