"""The evaluation in the terminal: the metrics, and the classes; it fits 80 columns."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from raypipe.evaluate.digits import chance, interval, number, signed, signed_interval
from raypipe.evaluate.limits import limit
from raypipe.evaluate.shown import (
    METRICS_SHOWN,
    Report,
    by_gain,
    completed,
    gain,
    largest,
    main_metric,
    measured,
)

_CLASSES = 40
_TITLE = 15  # characters of a class's name before it goes on in another line


def summary_table(report: Report) -> Group:
    """Return the metrics and the classes, before and after, for the terminal.

    Args:
        report: The content of `report.json`.
    """
    full = completed(report)
    return Group(_metrics(full), _classes(full), Text(_asked(full)))


def _table(title: str) -> Table:
    return Table(
        title=Text(title),
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 0),
        show_edge=False,
    )


def _metrics(report: Report) -> Table:
    alone = report["baseline"] == report["refined"]
    title = f"Maps of {report['baseline']}" if alone else "Before → after refinement"
    table = _table(f"{title}, {report['set']}")
    table.add_column("mean over classes", no_wrap=True)
    for name in ("before → after", "95 % interval", "gain", "95 % interval", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in measured(report):
        values = report[name]
        cells = (METRICS_SHOWN[name].title, _pair(values, 3),
                 interval(values["refined_interval"], 2), signed(gain(values)),
                 signed_interval(values["gain_interval"], 2), chance(values["p"]))  # fmt: skip
        table.add_row(*map(Text, cells))
    return table


def _classes(report: Report) -> Table:
    metric = main_metric(report)
    masks = report["precision"]["refined"] is not None
    classes = by_gain(report, metric)
    shown = largest(classes, metric, _CLASSES)
    table = _table("Classes, by gain")
    table.add_column("class", overflow="fold", max_width=_TITLE)
    for name in (METRICS_SHOWN[metric].title, "gain", "95 %"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("precision", "recall") if masks else ():
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("asked", justify="right", no_wrap=True)
    if masks:
        table.add_column("limited", no_wrap=True)
    for item in shown:
        table.add_row(*map(Text, _row(item, metric, masks=masks)))
    return table


def _row(item: Report, metric: str, *, masks: bool) -> list[str]:
    """Return the cells of a class; as text, not markup: a class may be called [bold]."""
    values = item[metric]
    cells = [item["title"], _pair(values, 2), signed(gain(values), 2),
             signed_interval(values["gain_interval"], 2).replace(" to ", " ")]  # fmt: skip
    if masks:
        cells += [_pair(item[name], 2) for name in ("precision", "recall")]
    cells.append(str(item["questions"]))
    if masks:
        cells.append(limit(item, "refined") or "–")
    return cells


def _pair(values: Report, digits: int) -> str:
    arrow = " → " if digits > 2 else "→"  # two digits go with narrow columns
    return arrow.join(number(values[side], digits) for side in ("plain", "refined"))


def _asked(report: Report) -> str:
    """Say what the answers cost, and what did not match."""
    text = f"{report['questions']:,} questions, {report['questions_per_class']:.1f} a class"
    if report["shared_questions"]:
        text += f" ({report['shared_questions']:,} about all classes at once)"
    if report["seconds"] is not None:
        text += f", {report['seconds']:,.0f} s"
    others = len(report["per_class"]) - _CLASSES
    if others > 0:
        text = f"The {_CLASSES} largest changes; {others:,} more in report.html. {text}"
    odd = {"missing": report["missing"]} | report["policy"]
    told = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in odd.items() if count)
    return f"{text}. Did not match: {told}." if told else f"{text}."
