"""`raypipe labels`: template, ingest, export, status, simulate; and what is in files beside."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli import agreement, history, options, studio
from raypipe.progress import say

if TYPE_CHECKING:
    from raypipe.annotate.labels import Ingested

app = typer.Typer(
    help="The answers: in bulk by CSV, how far they go, several annotators, history and undo.",
    no_args_is_help=True,
)


@app.command(epilog="Example: `raypipe labels template > labels.csv`")
def template(run: options.RunDir = None, config: options.ConfigFile = None) -> None:
    """Print a CSV with one row a question; fill in *verdict*: object, distractor or unsure."""
    from raypipe.annotate import labels

    sys.stdout.write(labels.template(options.pipeline(run, config, None).run))


@app.command(epilog="Example: `raypipe labels ingest labels.csv --annotator ada`")
def ingest(
    file: Annotated[
        str, typer.Argument(help="Labels CSV, or JSON of Label Studio; path or URI, - for stdin.")
    ],
    run: options.RunDir = None,
    annotator: Annotated[
        str | None, typer.Option("--annotator", help="Who answered, where the file does not say.")
    ] = None,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Take missing answers as unsure.")
    ] = False,
    answered_only: Annotated[
        bool, typer.Option("--answered-only", help="Leave questions without an answer open.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change, and write nothing.")
    ] = False,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Add the answers of a file: all of them, or none and every bad line named."""
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
        answered_only=answered_only,
        dry_run=dry_run,
    )
    say_recorded(result, as_json=as_json, dry_run=dry_run)


@app.command(epilog="Example: `raypipe labels export > answers.csv`")
def export(run: options.RunDir = None, config: options.ConfigFile = None) -> None:
    """Print a CSV of the answers that count, a row an annotator and question; ingest takes it."""
    from raypipe.annotate import csvfile, labels

    sys.stdout.write(csvfile.export(labels.answers(options.pipeline(run, config, None).run)))


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
    unsure_rate: Annotated[
        float | None, typer.Option("--unsure-rate", help="Share of answers that are unsure.")
    ] = None,
    annotators: Annotated[
        int | None, typer.Option("--annotators", help="How many answer, with their own errors.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the errors.")] = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """Answer from ground truth, for experiments without a person.

    Pairs of people agree on 90.5 % of such questions; annotators who err independently do so at
    an error rate of 0.05.
    """
    from raypipe.annotate import labels
    from raypipe.annotate import simulate as simulation

    values = {
        "min_share": min_share,
        "error_rate": error_rate,
        "unsure_rate": unsure_rate,
        "annotators": annotators,
        "seed": seed,
    }
    pipeline = options.pipeline(run, config, sets, sections={"simulate": values})
    rows = simulation.simulate(pipeline.run, pipeline.settings.simulate)
    say_recorded(labels.record(pipeline.run, rows, kind="simulate"), as_json=as_json)


def say_recorded(result: Ingested, *, as_json: bool, dry_run: bool = False) -> None:
    """Say what was recorded, or would be."""
    content = asdict(result)
    if as_json:
        typer.echo(json.dumps(content, indent=2))
        return
    names = ["object", "distractor", "unsure"] + ["withdrawn"] * (result.withdrawn > 0)
    verdicts = ", ".join(f"{content[name]} {name}" for name in names)
    change = f"{result.new} new, {result.changed} changed"
    if not result.new + result.changed:
        change = "all of them stand already, nothing changed"
    dry = ", a dry run: nothing was written" if dry_run else ""
    say(f"labels: {result.answers} answers ({verdicts}); {change}{dry}")


@app.command(epilog="Example: `raypipe labels status`")
def status(
    run: options.RunDir = None,
    config: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Say how far each class is answered."""
    from raypipe.annotate import labels
    from raypipe.cli import drawing

    found = labels.status(options.pipeline(run, config, None).run)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
        return
    grouped = any(item.questions < item.clusters for item in found.classes)
    own = ["overrides"] if grouped else []
    verdicts = ("object", "distractor", "unsure")
    rows: list[list[str | int]] = []
    for item in found.classes:
        counts = [item.clusters, item.object, item.distractor, item.unsure]
        counts += [item.overrides] if grouped else []
        missing = ", ".join(str(number) for number in item.missing)
        rows.append([item.name, *counts, missing, item.stale])
    drawing.show(("class", "clusters", *verdicts, *own, "missing", "stale"), rows)
    typer.echo(f"{found.answered} of {found.questions} questions answered")


for _command, _example in (
    (studio.studio, "raypipe labels studio questions"),
    (agreement.agreement, "raypipe labels agreement"),
    (agreement.merge, "raypipe labels merge --by majority"),
    (history.log, "raypipe labels log"),
    (history.undo, "raypipe labels undo 3"),
):
    app.command(epilog=f"Example: `{_example}`")(_command)
