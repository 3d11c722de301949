"""The command line: one command a file, parsing and printing only."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from raypipe.cli.app import app
from raypipe.errors import INTERRUPTED, RaypipeError
from raypipe.progress import interrupted


def main() -> None:
    """Run the command line; a user's mistake is one line and an exit code, never a traceback."""
    interrupted.clear()
    signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except RaypipeError as error:
        _print(f"error: {error.message}")
        if error.remedy:
            _print(f"  try: {error.remedy}")
        sys.exit(error.exit_code)
    except SystemExit as stop:
        # Typer turns Ctrl-C into this exit code and says nothing.
        if stop.code == INTERRUPTED:
            _print("interrupted: nothing that was committed is lost, the same command goes on")
        raise


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, as Python does, and remember it."""
    interrupted.set()
    signal.default_int_handler(number, frame)


def _print(text: str) -> None:
    sys.stderr.write(f"{text}\n")
