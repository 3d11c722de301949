"""`raypipe labels`: template, ingest, status, simulate."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli import options
from raypipe.progress import say

if TYPE_CHECKING:
    from raypipe.annotate.labels import Ingested

app = typer.Typer(
    help="The answers: a CSV template, bulk ingest, how far they go, a simulated annotator.",
    no_args_is_help=True,
)


@app.command(epilog="Example: `raypipe labels template > labels.csv`")
def template(run: options.RunDir = None, config: options.ConfigFile = None) -> None:
    """Print a CSV with one row a question; fill in *verdict*: object, distractor or unsure."""
    from raypipe.annotate import labels

    sys.stdout.write(labels.template(options.pipeline(run, config, None).run))


@app.command(epilog="Example: `raypipe labels ingest labels.csv --annotator ada`")
def ingest(
    file: Annotated[str, typer.Argument(help="Labels CSV, path or URI; - for standard input.")],
    run: options.RunDir = None,
    annotator: Annotated[
        str | None, typer.Option("--annotator", help="Who answered, where the file does not say.")
    ] = None,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Take missing answers as unsure.")
    ] = False,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Add the answers of a labels CSV: all of them, or none and every bad line named."""
    from raypipe.annotate import labels, parse
    from raypipe.storage.location import Location

    pipeline = options.pipeline(run, config, None)
    content = sys.stdin.buffer.read() if file == "-" else Location.of(file).read_bytes()
    result = labels.ingest(
        pipeline.run,
        content,
        source="standard input" if file == "-" else file,
        annotator=annotator or parse.ANONYMOUS,
        allow_partial=allow_partial,
    )
    _print(result, as_json=as_json)


@app.command(epilog="Example: `raypipe labels simulate --error-rate 0.1`")
def simulate(
    run: options.RunDir = None,
    min_share: Annotated[
        float | None,
        typer.Option("--min-share", help="Object: this share of regions lies on the class."),
    ] = None,
    error_rate: Annotated[
        float | None, typer.Option("--error-rate", help="Share of answers turned round.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the errors.")] = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Answer from ground truth, for experiments without a person."""
    from raypipe.annotate import labels
    from raypipe.annotate import simulate as simulation

    sections = {"simulate": {"min_share": min_share, "error_rate": error_rate, "seed": seed}}
    pipeline = options.pipeline(run, config, sets, sections=sections)
    rows = simulation.simulate(pipeline.run, pipeline.settings.simulate)
    _print(labels.record(pipeline.run, rows), as_json=as_json)


def _print(result: Ingested, *, as_json: bool) -> None:
    """Say what was recorded."""
    content = asdict(result)
    if as_json:
        typer.echo(json.dumps(content, indent=2))
        return
    verdicts = ", ".join(f"{content[name]} {name}" for name in ("object", "distractor", "unsure"))
    known = "" if content["file"] else "; all of them stand already, nothing changed"
    say(f"labels: {content['answers']} answers ({verdicts}){known}")


@app.command(epilog="Example: `raypipe labels status`")
def status(
    run: options.RunDir = None,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Say how far each class is answered."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from raypipe.annotate import labels

    found = labels.status(options.pipeline(run, config, None).run)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
        return
    grouped = any(item.questions < item.clusters for item in found.classes)
    own = ["overrides"] if grouped else []
    verdicts = ("object", "distractor", "unsure")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("class", overflow="fold")
    for name in ("clusters", *verdicts, *own, "missing", "stale"):
        table.add_column(name, justify="left" if name == "missing" else "right")
    for item in found.classes:
        counts = [item.clusters, item.object, item.distractor, item.unsure]
        counts += [item.overrides] if grouped else []
        missing = ", ".join(str(number) for number in item.missing)
        # Text, not markup: a class may be called [bold].
        table.add_row(Text(item.name), *map(str, counts), missing, str(item.stale))
    Console().print(table)
    typer.echo(f"{found.answered} of {found.questions} questions answered")
