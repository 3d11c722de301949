"""`raypipe compare`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raypipe.cli import options

if TYPE_CHECKING:
    from raypipe.evaluate.compare import Comparison

_SHOWN = 40  # classes on the screen; --json and --html have all of them


def compare(
    run_a: Annotated[str, typer.Argument(help="Run directory or URI of one side, A.")],
    run_b: Annotated[str, typer.Argument(help="That of the other side, B.")],
    target_set: Annotated[
        str | None, typer.Option("--set", help="Evaluated set.  [default: the only one]")
    ] = None,
    rule_a: Annotated[
        str | None, typer.Option("--rule-a", help="A's rule, plain too.  [default: its refined]")
    ] = None,
    rule_b: Annotated[str | None, typer.Option("--rule-b", help="B's rule.")] = None,
    html: Annotated[str | None, typer.Option("--html", help="Write a page to this file.")] = None,
    as_json: options.Json = False,
) -> None:
    """Compare two evaluated runs on the pairs of image and class that both have."""
    from raypipe.evaluate import compare as comparing
    from raypipe.progress import say
    from raypipe.storage.location import Location
    from raypipe.storage.run import Run

    a = comparing.open_side(Run.at(run_a), target_set, rule_a)
    b = comparing.open_side(Run.at(run_b), target_set, rule_b)
    comparing.same_set(a, b)
    found = comparing.compare(a, b)
    if html is not None:
        Location.of(html).write_bytes(comparing.render(found).encode())
        say(f"open {html}")
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        _show(found)


def _show(found: Comparison) -> None:
    from raypipe.cli import drawing
    from raypipe.evaluate.shown import METRICS_SHOWN

    for letter in ("a", "b"):
        side = found[letter]
        seconds = "" if side["seconds"] is None else f", {side['seconds']:,.0f} s"
        typer.echo(f"{letter.upper()}: {side['run']}, {side['rule']}, "
                   f"{side['questions']:,} questions{seconds}")  # fmt: skip
    heads = ("A", "B", "B − A", "95 %", "p")
    drawing.show(
        ("mean over classes", *heads),
        [
            [METRICS_SHOWN[name].title, *_cells(values)]
            for name, values in found["metrics"].items()
            if values["difference"] is not None
        ],
    )
    main = "iou" if found["metrics"]["corloc"]["difference"] is None else "corloc"
    items = sorted(
        found["per_class"].values(), key=lambda item: -abs(item[main]["difference"] or 0.0)
    )
    drawing.show(
        (METRICS_SHOWN[main].title, *heads),
        [[item["title"], *_cells(item[main])] for item in items[:_SHOWN]],
    )
    if len(items) > _SHOWN:
        typer.echo(f"{len(items) - _SHOWN:,} more classes: --json or --html lists them")
    for item in found["settings"]:
        typer.echo(f"{item['name']}: A {item['a']}, B {item['b']}")
    typer.echo(
        f"{found['pairs']:,} pairs of {found['classes']:,} classes; "
        f"{found['a']['only']:,} pairs in A alone, {found['b']['only']:,} in B alone"
    )


def _cells(values: dict[str, Any]) -> list[str | int]:
    from raypipe.evaluate.digits import chance, number, signed, signed_interval

    return [number(values["a"]), number(values["b"]), signed(values["difference"]),
            signed_interval(values["interval"], 2), chance(values["p"])]  # fmt: skip
