"""The evaluation report: rows of `metrics` to numbers, and the numbers to a page and a table.

A report is a plain nested dict, the content of `report.json`. Every metric stands in it as
`{"plain": x, "refined": y}`, null where there is no truth of that kind; means go over the images
of a class first, then over classes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment, PackageLoader, StrictUndefined
from rich.box import SIMPLE_HEAD
from rich.table import Table as TerminalTable
from rich.text import Text

from raypipe.evaluate.boxes import THRESHOLDS, hits, max_box_acc
from raypipe.evaluate.means import Doubles, class_means, overall
from raypipe.evaluate.measure import PLAIN
from raypipe.tables import SHARED

if TYPE_CHECKING:  # pictures draws with matplotlib, which the terminal's table has no use for
    from raypipe.evaluate.pictures import Case

Report = dict[str, Any]

METRICS_SHOWN = {
    "corloc": "CorLoc",
    "iou": "Mask IoU",
    "max_box_acc": "MaxBoxAcc",
    "precision": "Precision",
    "recall": "Recall",
}
"""The metrics of a report and their names for people."""


@dataclass(frozen=True)
class _Scores:
    """The metrics of one rule, by name; NaN where there is no truth of that kind.

    Attributes:
        per_class: (C,) of each class.
        mean: Over classes, and the threshold of MaxBoxAcc.
    """

    per_class: dict[str, Doubles]
    mean: dict[str, float]

    def of_class(self, index: int) -> dict[str, float]:
        """Return the metrics of one class."""
        return {name: float(values[index]) for name, values in self.per_class.items()}


def aggregate(
    metrics: pa.Table,
    rules: Sequence[str],
    titles: Mapping[str, str],
    questions: Mapping[str, int],
    *,
    box_iou: float,
    missing: int = 0,
) -> Report:
    """Turn rows into the numbers of a report.

    A pair is an image and a class that has truth in it. Rows without truth count for nothing.

    Args:
        metrics: The `metrics` table, pairs that were never detected included as zeros.
        rules: Refined rules; the first one is what the report calls *refined*.
        titles: Names for people, of every class that may occur, in the report's order.
        questions: Answered clusters of each class, groups of all classes by `tables.SHARED`; a
            class that is not named has none.
        box_iou: A box counts from this IoU on.
        missing: Pairs that were never detected.
    """
    metrics = metrics.filter(pc.or_(metrics["box_iou"].is_valid(), metrics["iou"].is_valid()))
    present = set(metrics["class"].unique().to_pylist())
    names = [name for name in titles if name in present]
    by_rule = {rule: _scores(metrics, rule, names, box_iou) for rule in (PLAIN, *rules)}
    plain, refined = by_rule[PLAIN], by_rule[rules[0]]
    first = metrics.filter(pc.equal(metrics["rule"], rules[0]))
    images = Counter(first["class"].to_pylist())
    asked = {name: int(questions.get(name, 0)) for name in names}
    shared = int(questions.get(SHARED, 0))
    total = shared + sum(asked.values())
    return {
        **_before_after(plain.mean, refined.mean),
        "questions": total,
        "shared_questions": shared,
        "questions_per_class": total / len(names) if names else 0.0,
        "classes": len(names),
        "images": len(first["image_id"].unique()),
        "pairs": first.num_rows,
        "fallbacks": pc.sum(first["fallback"]).as_py() or 0,
        "missing": missing,
        "per_class": {
            name: {
                "title": titles[name],
                "images": images[name],
                "questions": asked[name],
                **_before_after(plain.of_class(index), refined.of_class(index)),
            }
            for index, name in enumerate(names)
        },
        "rules": {
            rule: {name: _number(value) for name, value in by_rule[rule].mean.items()}
            for rule in rules
        },
    }


def _scores(metrics: pa.Table, rule: str, names: Sequence[str], box_iou: float) -> _Scores:
    """Compute every metric of one rule."""
    rows = metrics.filter(pc.equal(metrics["rule"], rule))
    codes = pc.index_in(rows["class"], pa.array(names, pa.string())).to_numpy().astype(np.intp)
    values = {name: _doubles(rows[name]) for name in ("box_iou", "iou", "precision", "recall")}
    values["corloc"] = hits(values.pop("box_iou"), box_iou)
    per_class = {name: class_means(value, codes, len(names)) for name, value in values.items()}
    mean = {name: float(overall(value)) for name, value in per_class.items()}
    best = max_box_acc(_curves(rows["threshold_ious"]), codes, len(names), box_iou)
    return _Scores(
        per_class | {"max_box_acc": best.per_class},
        mean | {"max_box_acc": best.overall, "max_box_acc_threshold": best.threshold},
    )


def _doubles(column: pa.ChunkedArray) -> Doubles:
    """Return a column as (n,) float64, null as NaN."""
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _curves(column: pa.ChunkedArray) -> Doubles:
    """Return `threshold_ious` as (n, T) float64, null as a row of NaN."""
    curves = np.full((len(column), len(THRESHOLDS)), np.nan)
    known = column.is_valid().to_numpy()
    values = column.combine_chunks().drop_null().flatten().to_numpy()
    curves[known] = values.reshape(-1, len(THRESHOLDS))
    return curves


def _before_after(
    plain: Mapping[str, float], refined: Mapping[str, float]
) -> dict[str, dict[str, float | None]]:
    """Pair every metric's values."""
    return {
        name: {"plain": _number(plain[name]), "refined": _number(refined[name])} for name in plain
    }


def _number(value: float) -> float | None:
    """Return a number that JSON knows: null for NaN."""
    return None if np.isnan(value) else float(value)


def gain(values: Mapping[str, float | None]) -> float | None:
    """Return refined minus plain, or None where there is no truth of that kind."""
    plain, refined = values["plain"], values["refined"]
    return None if plain is None or refined is None else refined - plain


def main_metric(report: Report) -> str:
    """Return the metric that classes are sorted by: CorLoc, or mask IoU without true boxes."""
    return "iou" if report["corloc"]["refined"] is None else "corloc"


def render_json(report: Report) -> str:
    """Return the report as the text of `report.json`."""
    return json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def render_html(report: Report, worst: Sequence[Case] = (), best: Sequence[Case] = ()) -> str:
    """Return the report as one page that needs nothing else: no script, no network.

    Args:
        report: What `aggregate` returned, with `set`, `fingerprint` and `settings`.
        worst: Images that refining harmed most, the worst first.
        best: Images that it helped most, the best first.
    """
    environment = Environment(
        loader=PackageLoader("raypipe.evaluate"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _three_digits, "signed": _signed, "gain": gain}
    metric = main_metric(report)
    return environment.get_template("report.html").render(
        report=report,
        titles=METRICS_SHOWN,
        classes=sorted(
            report["per_class"].values(),
            key=lambda item: (-(gain(item[metric]) or 0.0), item["title"]),
        ),
        main=metric,
        worst=worst,
        best=best,
        settings={
            f"{section}.{name}": ", ".join(value) if isinstance(value, list) else value
            for section, values in report["settings"].items()
            for name, value in values.items()
        },
    )


def summary_table(report: Report) -> TerminalTable:
    """Return the classes and their mean, before and after, for the terminal."""
    shown = [name for name in ("corloc", "iou") if report[name]["refined"] is not None]
    title = Text(f"Before → after refinement, {report['set']}")
    table = TerminalTable(title=title, box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("class", overflow="fold")
    table.add_column("images", justify="right")
    for name in shown:
        table.add_column(METRICS_SHOWN[name], justify="right", no_wrap=True)
        table.add_column("gain", justify="right", no_wrap=True)
    table.add_column("asked", justify="right")
    for item in report["per_class"].values():
        table.add_row(*_table_row(item["title"], item["images"], item, shown, item["questions"]))
    table.add_section()
    asked = f"{report['questions_per_class']:.1f}"
    table.add_row(*_table_row("mean", report["pairs"], report, shown, asked), style="bold")
    return table


def _table_row(
    title: str, images: int, values: Report, shown: Sequence[str], questions: int | str
) -> list[Text]:
    cells = [title, str(images)]
    for name in shown:
        before, after = (_three_digits(values[name][side]) for side in ("plain", "refined"))
        cells += [f"{before} → {after}", _signed(gain(values[name]))]
    # Text, not markup: a class may be called [bold].
    return [Text(cell) for cell in (*cells, str(questions))]


def _three_digits(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:+.3f}".replace("-", "−") if round(value, 3) else "0.000"
