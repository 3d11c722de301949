"""The evaluation report: the numbers of `aggregate` to a page and to JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from raypipe.evaluate import digits
from raypipe.evaluate.earning import SECONDS_A_BOX, Earning, earned
from raypipe.evaluate.limits import ENOUGH, counts, limit
from raypipe.evaluate.plots import Plot, plot
from raypipe.evaluate.shown import (
    METRICS_SHOWN,
    POLICY,
    Report,
    by_gain,
    completed,
    flat,
    gain,
    largest,
    main_metric,
    measured,
)

if TYPE_CHECKING:  # pictures draws with matplotlib, which the terminal's table has no use for
    from raypipe.evaluate.pictures import Case

CLASSES_DRAWN = 40
"""Classes that are drawn with their intervals; the others stand in the compact table."""


def render_json(report: Report) -> str:
    """Return the report as the text of `report.json`."""
    return json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def render_html(report: Report, worst: Sequence[Case] = (), best: Sequence[Case] = ()) -> str:
    """Return the report as one page that needs nothing else: no script, no network.

    Args:
        report: The content of `report.json`; a metric that it lacks is left out.
        worst: Images that refining harmed most, the worst first.
        best: Images that it helped most, the best first.
    """
    full = completed(report)
    metric = main_metric(full)
    classes = by_gain(full, metric)
    earning = earned(full, metric)
    return (
        environment()
        .get_template("report.html")
        .render(
            report=full,
            measured=measured(full),
            main=metric,
            classes=classes,
            shown=largest(classes, metric, CLASSES_DRAWN),
            limits={side: counts(classes, side) for side in ("plain", "refined")},
            enough=ENOUGH,
            stuck=[item["title"] for item in classes if limit(item, "plain") == "recall"],
            earning=earning,
            plots=_plots(earning) if earning else [],
            seconds_a_box=SECONDS_A_BOX,
            worst=worst,
            best=best,
            settings=flat(report["settings"]),
        )
    )


def environment() -> Environment:
    """Return what the pages of evaluation are made with: everything escaped, nothing undefined."""
    made = Environment(
        loader=PackageLoader("raypipe.evaluate"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": digits.number, "signed": digits.signed, "interval": digits.interval,
        "signed_interval": digits.signed_interval, "chance": digits.chance,
        "shortened": digits.shortened, "gain": gain, "limit": limit,
    }  # fmt: skip
    made.globals |= {"metrics": METRICS_SHOWN, "policy_notes": POLICY}
    return made


def _plots(earning: Earning) -> list[Plot]:
    """Draw the curve against questions, and against seconds where they were recorded."""
    answers = [(float(step.questions), step.mean) for step in earning.steps]
    drawn = [plot("questions answered", [("answers", answers)])]
    timed = [(step.seconds, step.mean) for step in earning.steps if step.seconds is not None]
    if len(timed) == len(answers) and timed[-1][0] > 0:
        lines: list[tuple[str, Sequence[tuple[float, float]]]] = [("answers", timed)]
        if earning.boxing:
            start = (0.0, earning.steps[0].mean)
            lines.append(("boxes", [start, (earning.boxing.seconds, earning.boxing.mean)]))
        drawn.append(plot("seconds of annotation", lines))
    return drawn
