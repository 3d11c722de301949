"""`raypipe report`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from raypipe.cli import drawing, options

if TYPE_CHECKING:
    from raypipe.bill import Bill
    from raypipe.cloud.prices import Prices


def report(
    run: options.RunDir = None,
    prices: Annotated[
        str | None, typer.Option("--prices", help="Price table (TOML) in place of the package's.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Say what a run has used so far: time, node hours and their cost, rejects, retries."""
    from raypipe import bill
    from raypipe.cloud import prices as table

    list_prices = table.load(prices)
    pipeline = options.pipeline(run, None, None)
    found = bill.bill(pipeline.run, list_prices)
    pages = [
        str(place)
        for item in found.steps
        if item.step.startswith("evaluate/")
        and (place := pipeline.run.step(item.step) / "report.html").exists()
    ]
    if as_json:
        content = asdict(found) | {"prices": str(list_prices.date), "pages": pages}
        typer.echo(json.dumps(content, indent=2))
        return
    _print(found, list_prices, own=prices)
    for page in pages:
        typer.echo(f"how well it went: {page}")


def _print(found: Bill, prices: Prices, *, own: str | None) -> None:
    titles = ("step", "tries", "s", "images", "/s", "rejects", "again", "lost", "node h", "GPU h",
              "$")  # fmt: skip
    rows: list[list[str | int]] = [
        [item.step, item.attempts, f"{item.seconds:,.0f}",
         f"{item.images:,}" if item.images else "",
         f"{item.images / item.seconds:,.1f}" if item.images and item.seconds else "",
         item.rejects, item.retries, item.lost, f"{item.node_hours:,.2f}",
         f"{item.gpu_hours:,.2f}", _dollars(item.dollars)]
        for item in found.steps
    ]  # fmt: skip
    total: list[str | int] = ["all", "", f"{found.seconds:,.0f}", "", "", "", found.retries,
                              found.lost, f"{found.node_hours:,.2f}", f"{found.gpu_hours:,.2f}",
                              _dollars(found.dollars)]  # fmt: skip
    drawing.show(titles, [*rows, total])
    for machine in found.machines:
        market = f" ({machine.market})" if machine.market else ""
        cost = f"${machine.dollars:,.2f}" if machine.dollars is not None else "no price known"
        typer.echo(f"{machine.machine}{market}: {machine.node_hours:,.2f} node hours, {cost}")
    for line in _notes(found, prices, own=own):
        typer.echo(f"  {line}")


def _notes(found: Bill, prices: Prices, *, own: str | None) -> list[str]:
    """Say what the numbers rest on."""
    lines = ["tries: processes that worked on it; again: shards begun again because their worker "
             "was lost; lost: nodes that went without being sent away"]  # fmt: skip
    lines += ["node hours: nodes that were there while a step ran, the head too; not their start, "
             "nor the wait before they go"]  # fmt: skip
    if found.dollars is not None:
        origin = f"of {own}" if own else "as we knew them"
        lines.append(f"list prices {origin} on {prices.date} for {prices.region}, spot as it "
                     "typically is; disks, requests and traffic are not in it")  # fmt: skip
    if found.unknown:
        lines.append(f"no price known, in no sum: {', '.join(found.unknown)}")
    if found.unfinished:
        lines.append(f"attempts that were killed or still run: {found.unfinished}; of such a one "
                     "the last half minute can be missing")  # fmt: skip
    return lines


def _dollars(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"
