"""The application: its commands and what they share."""

from __future__ import annotations

import os
from enum import StrEnum
from typing import Annotated

import typer

from raypipe import __version__
from raypipe.cli import (
    annotate,
    cluster,
    cluster_check,
    compare,
    demo,
    doctor,
    evaluate,
    export,
    extract,
    fit,
    index,
    labels,
    masks,
    refine,
    report,
    retry,
    run,
    sheets,
    status,
    submit,
)
from raypipe.progress import LOG_FORMAT

app = typer.Typer(
    name="raypipe",
    help="Find objects in images from image-level labels alone.\n\n"
    "The steps: extract → cluster → sheets → labels → refine → evaluate. "
    "`raypipe demo` shows them all at work.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class LogFormat(StrEnum):
    """How lines on stderr look."""

    TEXT = "text"
    JSON = "json"


def _version(value: bool) -> None:
    if value:
        typer.echo(f"raypipe {__version__}")
        raise typer.Exit


@app.callback(epilog="Example: `raypipe demo`")
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    log_format: Annotated[
        LogFormat, typer.Option("--log-format", envvar=LOG_FORMAT, help="Of the lines on stderr.")
    ] = LogFormat.TEXT,
) -> None:
    """Find objects in images from image-level labels alone."""
    del version
    os.environ[LOG_FORMAT] = log_format.value  # for workers, too


_START, _STEPS, _WHOLE, _CLOUD = "Start", "Steps", "Whole runs", "Clusters"

for _command, _panel, _example in (
    (demo.demo, _START, "raypipe demo"),
    (index.index, _STEPS, "raypipe index --dataset voc --root VOCdevkit/VOC2012"),
    (fit.fit, _STEPS, "raypipe fit --run runs/voc"),
    (extract.extract, _STEPS, "raypipe extract --dataset ilsvrc --root s3://bucket/imagenet"),
    (cluster.cluster, _STEPS, "raypipe cluster --max-clusters 3"),
    (sheets.sheets, _STEPS, "raypipe sheets --run runs/ilsvrc"),
    (annotate.annotate, _STEPS, "raypipe annotate --run runs/ilsvrc"),
    (refine.refine, _STEPS, "raypipe refine --images new_photos --classes boat"),
    (masks.masks, _STEPS, "raypipe masks --crf"),
    (evaluate.evaluate, _STEPS, "raypipe evaluate --split val"),
    (compare.compare, _STEPS, "raypipe compare runs/voc runs/voc-other"),
    (export.export, _STEPS, "raypipe export coco boxes --split val"),
    (run.run, _WHOLE, "raypipe run jobs/voc2012.toml"),
    (retry.retry, _WHOLE, "raypipe retry --run runs/ilsvrc"),
    (status.status, _WHOLE, "raypipe status --run runs/voc"),
    (report.report, _WHOLE, "raypipe report --run runs/ilsvrc"),
    (doctor.doctor, _CLOUD, "raypipe doctor --config jobs/voc2012.toml"),
    (cluster_check.cluster_check, _CLOUD, "raypipe cluster-check cluster.yaml --images 1300000"),
):
    app.command(epilog=f"Example: `{_example}`", rich_help_panel=_panel)(_command)
app.command(
    epilog="Example: `raypipe submit extract --config jobs/ilsvrc.toml`",
    rich_help_panel=_CLOUD,
    # The job's own options are none of submit's, wherever they stand.
    context_settings={"ignore_unknown_options": True},
)(submit.submit)
app.add_typer(labels.app, name="labels", rich_help_panel=_STEPS)
