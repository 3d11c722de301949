"""`raypipe labels`."""

from __future__ import annotations

import typer

app = typer.Typer(help="Answers: template, ingest, status, simulate.", no_args_is_help=True)
