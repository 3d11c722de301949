"""`raypipe labels log` and `undo`: what was recorded, and taking it back."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from raypipe.cli import options
from raypipe.progress import say

_NAMES = 3  # annotators named of an entry; the rest is counted


def log(
    run: options.RunDir = None, config: options.ConfigFile = None, as_json: options.Json = False
) -> None:
    """List what was recorded: ingests, merges, undos, and answers of the page."""
    from raypipe.annotate import undo as undoing
    from raypipe.cli import drawing

    found = undoing.records(options.pipeline(run, config, None).run)
    if as_json:
        typer.echo(json.dumps([asdict(item) for item in found], indent=2, default=str))
        return
    rows: list[list[str | int]] = []
    for item in found:
        when = item.at.strftime("%Y-%m-%d %H:%M") if item.at else "–"
        what = f"{item.kind} {item.undoes or item.source}".strip()
        what += ", taken back" if item.undone else ""
        names = ", ".join(item.annotators[:_NAMES])
        more = len(item.annotators) - _NAMES
        names += f" and {more} more" if more > 0 else ""
        rows.append([item.number, when, what, names, item.answers])
    drawing.show(("number", "when (UTC)", "what", "annotators", "answers"), rows)


def undo(
    number: Annotated[
        str | None,
        typer.Argument(help="Number in `raypipe labels log`; the last ingest or merge by default."),
    ] = None,
    run: options.RunDir = None,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Take an ingest or a merge back: what stood before stands again, and nothing is deleted."""
    from raypipe.annotate import undo as undoing

    found = undoing.undo(options.pipeline(run, config, None).run, number)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
        return
    kept = f"; {found.kept} replaced since, left alone" if found.kept else ""
    say(
        f"labels: {found.name} taken back, {found.withdrawn} answers withdrawn, "
        f"{found.restored} as before{kept}"
    )
