"""`raypipe cluster-check`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli import options
from raypipe.errors import ConfigError
from raypipe.progress import say

if TYPE_CHECKING:
    from raypipe.cloud.clusterfile import Finding
    from raypipe.cloud.cost import Cost, Estimate
    from raypipe.cloud.prices import Prices


def cluster_check(
    file: Annotated[str, typer.Argument(help="Cluster file of `ray up`.")] = "cluster.yaml",
    images: Annotated[
        int | None,
        typer.Option("--images", min=1, help="Estimate hours and cost for so many images."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate", min=0.001, help="Images a second of one GPU node; none has been measured."
        ),
    ] = None,
    prices: Annotated[
        str | None, typer.Option("--prices", help="Price table (TOML) in place of the package's.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Look for mistakes in a cluster file and say what it costs, before anything is started.

    Works offline and without credentials. Exit code 3 if anything is wrong.
    """
    from raypipe.cloud import checks, clusterfile, cost
    from raypipe.cloud import prices as table

    cluster = clusterfile.read(file)
    list_prices = table.load(prices)
    findings = checks.check(cluster)
    sound = not any(item.where == "ray up" for item in findings)
    reminders = checks.reminders(cluster)
    bill = cost.cost(cluster, list_prices) if sound else None
    times = list(cost.estimates(cluster, list_prices, images, rate)) if images and sound else []
    notes = _notes(cluster.region, list_prices, bill, own=prices) if bill else []
    notes += _assumptions(rate, times) if images and sound else []
    if as_json:
        content = {
            "file": file,
            "problems": [asdict(item) for item in findings],
            "reminders": reminders,
            "cost": asdict(bill) if bill else None,
            "estimates": [asdict(item) for item in times],
            "notes": notes,
        }
        typer.echo(json.dumps(content, indent=2))
    else:
        _print(findings, reminders, bill, times, notes)
    if findings:
        count = "1 problem" if len(findings) == 1 else f"{len(findings)} problems"
        raise ConfigError(f"{file}: {count}", "mend what is listed; nothing has been started")
    say(f"{file}: no mistake found")


def _notes(region: str, prices: Prices, bill: Cost, *, own: str | None) -> list[str]:
    """Say where the prices come from and what they leave out."""
    origin = f"of {own}" if own else "as we knew them"
    lines = [
        f"list prices {origin} on {prices.date} for {prices.region}, spot as it typically is; "
        "check before you rely on them"
    ]
    if region and region != prices.region:
        lines.append(f"the cluster is in {region}, where prices differ: give a table with --prices")
    lines += [f"{name}: no price known, in no sum: give one with --prices" for name in bill.unknown]
    lines.append("disks and addresses are in it; requests, traffic and taxes are not")
    return lines


def _assumptions(rate: float | None, times: list[Estimate]) -> list[str]:
    """Say which of the numbers behind the hours are measured and which are not."""
    from raypipe.cloud.cost import CPU_RATE, START_MINUTES

    lines = []
    if rate:
        lines.append(f"assumed: {rate:g} images a second of one GPU node (yours)")
    else:
        lines.append("no hours for GPU nodes: none has been measured, give --rate")
    if any(item.case.startswith("CPU") for item in times):
        lines.append(
            f"measured: {CPU_RATE:g} images a second of one core (ResNet-50, 224 pixels, 2 cores); "
            "assumed: a vCPU does as much, and all of them together do as many times that"
        )
    lines.append(f"assumed: {START_MINUTES:g} minutes until a new node works, no node lost")
    return lines


def _print(
    findings: list[Finding], reminders: list[str], bill: Cost | None,
    times: list[Estimate], notes: list[str],
) -> None:  # fmt: skip
    for item in findings:
        typer.echo(f"problem: {item.where}: {item.what} → {item.remedy}")
    for line in reminders:
        typer.echo(f"before ray up: {line}")
    if bill:
        _print_cost(bill)
    for case in times:
        nodes = "1 node" if case.nodes == 1 else f"{case.nodes} nodes"
        typer.echo(
            f"{case.case}: {nodes}, {case.rate:,.0f} images a second: "
            f"{case.hours:.1f} hours, ${case.dollars:,.2f}"
        )
    for line in notes:
        typer.echo(f"  {line}")


def _print_cost(bill: Cost) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("nodes", "machine", "market"):
        grid.add_column(name)
    for name in ("at least", "at most", "$ an hour"):
        grid.add_column(name, justify="right")
    for line in bill.lines:
        price = "unknown" if line.hour is None else f"{line.hour:.2f}"
        words = (line.name, line.instance, line.market, str(line.minimum), str(line.maximum), price)
        grid.add_row(*map(Text, words))
    Console().print(grid)
    known = ", of what is known" if bill.unknown else ""
    typer.echo(
        f"an hour{known}: with no work ${bill.minimum:.2f}, at full size ${bill.maximum:.2f}"
    )
