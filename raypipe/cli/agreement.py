"""`raypipe labels agreement` and `merge`: several annotators of the same questions."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from raypipe.cli import options
from raypipe.errors import UsageError

if TYPE_CHECKING:
    from raypipe.annotate.agreement import Agreement, Pair

VERDICTS = ("object", "distractor", "unsure")
_SHOWN = 20  # pairs and disputes on the screen; --json has all of them


def agreement(
    run: options.RunDir = None, config: options.ConfigFile = None, as_json: options.Json = False
) -> None:
    """Say how far annotators agree: Cohen's kappa, Krippendorff's alpha, and the disputes."""
    from raypipe.annotate.agreement import agreement as compared
    from raypipe.cli import drawing

    found = compared(options.pipeline(run, config, None).run)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
        return
    if found.pairs:
        drawing.show(("annotators", "shared", "agreed", "kappa"), _pairs(found))
    if found.disputes:
        heads = ("disputed", "cluster", *VERDICTS)
        drawing.show(heads, _disputes(found))
    for shown, name in ((found.pairs, "pairs"), (found.disputes, "disputes")):
        if len(shown) > _SHOWN:
            typer.echo(f"{len(shown) - _SHOWN} more {name}: --json lists them")
    typer.echo(
        f"{len(found.annotators)} annotators, {found.shared} of {found.questions} answered "
        f"questions shared, {len(found.disputes)} disputed, "
        f"Krippendorff's alpha {_number(found.alpha)}"
    )


def merge(
    run: options.RunDir = None,
    by: Annotated[
        Literal["majority"] | None,
        typer.Option("--by", help="majority: of all annotators, ties unsure (the default)."),
    ] = None,
    annotator: Annotated[
        str | None, typer.Option("--annotator", help="Take this annotator's word instead.")
    ] = None,
    name: Annotated[
        str, typer.Option("--as", help="Annotator that the merged answers bear.")
    ] = "merged",
    config: options.ConfigFile = None,
    as_json: options.Json = False,
) -> None:
    """Put one answer in place of all annotators' on each question; `undo` takes it back."""
    from raypipe.annotate import merge as merging
    from raypipe.cli import labels

    if by is not None and annotator is not None:
        raise UsageError(
            "--by majority asks all annotators, --annotator one of them", "give one of the two"
        )
    found = merging.merge(options.pipeline(run, config, None).run, annotator=annotator, name=name)
    labels.say_recorded(found, as_json=as_json)


def _pairs(found: Agreement) -> list[list[str | int]]:
    return [
        [f"{pair.one}, {pair.other}", pair.questions, _share(pair), _number(pair.kappa)]
        for pair in found.pairs[:_SHOWN]
    ]


def _disputes(found: Agreement) -> list[list[str | int]]:
    rows: list[list[str | int]] = []
    for item in found.disputes[:_SHOWN]:
        sides = (", ".join(item.answers.get(name, ())) for name in VERDICTS)
        rows.append([item.name, item.cluster, *sides])
    return rows


def _share(pair: Pair) -> str:
    return f"{pair.agreed / pair.questions:.1%}" if pair.questions else "–"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
