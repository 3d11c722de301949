"""The command line: one command a file, parsing and printing only."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType

from raypipe.cli.app import app
from raypipe.errors import INTERRUPTED, RaypipeError
from raypipe.progress import interrupted, logs_json, say


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake is one line and an exit code, never a traceback.

    Args:
        words: The command and its options; those of this process unless given.
    """
    interrupted.clear()
    signal.signal(signal.SIGINT, _interrupt)
    try:
        app(words)
    except RaypipeError as error:
        if logs_json():
            numbers = {"remedy": error.remedy, "exit_code": error.exit_code}
            say(error.message, numbers, "error")
            sys.exit(error.exit_code)
        _print(f"error: {error.message}")
        if error.remedy:
            _print(f"  try: {error.remedy}")
        sys.exit(error.exit_code)
    except SystemExit as stop:
        # Typer turns Ctrl-C into this exit code and says nothing.
        if stop.code == INTERRUPTED:
            say("interrupted: nothing that was committed is lost, the same command goes on")
        raise


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, as Python does, and remember it."""
    interrupted.set()
    signal.default_int_handler(number, frame)


def _print(text: str) -> None:
    sys.stderr.write(f"{text}\n")
