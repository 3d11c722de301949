"""The command line: one command a file, parsing and printing only."""

from __future__ import annotations

import sys

from raypipe.cli.app import app
from raypipe.errors import INTERRUPTED, RaypipeError


def main() -> None:
    """Run the command line; a user's mistake is one line and an exit code, never a traceback."""
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


def _print(text: str) -> None:
    sys.stderr.write(f"{text}\n")
