"""`raypipe retry`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from raypipe.cli import options


class Step(StrEnum):
    """Steps that can have rejects."""

    FIT = "fit"
    EXTRACT = "extract"
    REFINE = "refine"


def retry(
    step: Annotated[Step, typer.Argument(help="The step whose rejects to try.")] = Step.EXTRACT,
    run: options.RunDir = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    address: options.Address = None,
    cpus: options.Cpus = None,
    as_json: options.Json = False,
) -> None:
    """Try the images again that a finished step rejected, and no others.

    For images that were missing or damaged and have been restored, or that were too large for a
    limit that has been raised.
    """
    with options.pipeline(run, config, sets, address=address, cpus=cpus) as pipeline:
        options.report(pipeline.retry(step.value), as_json=as_json)
