"""`raypipe doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from raypipe.cli import options


def doctor(
    run: options.RunDir = None,
    dataset: options.Dataset = None,
    root: options.Root = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    address: options.Address = None,
    cluster_file: Annotated[
        str, typer.Option("--cluster-file", help="Its image is looked for in its registry.")
    ] = "cluster.yaml",
    as_json: options.Json = False,
) -> None:
    """Look at what commonly goes wrong, before a long run: storage, weights, image, nodes.

    On a cluster, `raypipe submit doctor` looks from its head. Exit code 0 if nothing failed, else
    that of the first failure.
    """
    from raypipe import doctor as examination

    sections = {"dataset": {"name": dataset, "root": root}}
    settings = options.settings(run, config, sets, address=address, sections=sections)
    colours = {"ok": "green", "failed": "red", "warning": "yellow", "not checked": "cyan"}
    checks = []
    for check in examination.examine(settings, Path(cluster_file)):
        checks.append(check)
        if not as_json:
            state = typer.style(f"{check.state:<11}", fg=colours[check.state])
            remedy = f" → {check.remedy}" if check.remedy else ""
            typer.echo(f"{state} {check.what}: {check.detail}{remedy}")
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2))
    raise typer.Exit(next((check.code for check in checks if check.state == "failed"), 0))
