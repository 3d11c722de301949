"""How much each answer is worth on MSRC: CorLoc and IoU after 0, 1, 2, … answers a class.

    python benchmarks/answers.py --plot docs/images/answers.png     both seeds, a Markdown table
    python benchmarks/answers.py --seeds 0 --json
    python benchmarks/answers.py --folds                            cross-validated on train

The full gain is that of all answers to the clusters of each class, without an error, against the
plain maps; 95 % of it is the target for every row. The first use localizes both splits, minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.asking import Curve, Maps, Questionnaire, Unanswered, curve, mean_curve
from benchmarks.localized import localize
from benchmarks.protocol import Matching, Split, folds, prepare, val_split
from benchmarks.variants import Clusterer, PerClass, TwoLevel
from raypipe.config import SimulateConfig
from raypipe.localizers.architectures import family_of
from raypipe.progress import say

Row = dict[str, Any]

_LAYER = family_of("resnet50").mid
_SHARE = 0.95
_MARKS = (0.0, 0.5, 1.0)
_CLASSES = 1000  # of ILSVRC


@dataclass(frozen=True)
class Setting:
    """What is asked, in which order, and how it is answered.

    Attributes:
        scope: What the questions are about.
        cluster: How they come about.
        ordered: By expected gain; else in random order.
        unanswered: Whether clusters without an answer have no vote or a guessed one.
        wrong: Share of wrong answers.
        annotators: How many answer each question.
    """

    scope: str = "class"
    cluster: Clusterer = field(default_factory=PerClass)
    ordered: bool = True
    unanswered: Unanswered = "guess"
    wrong: float = 0.0
    annotators: int = 1


def settings() -> list[Setting]:
    """Return the rows of the table."""
    return [
        Setting(),
        Setting(ordered=False),
        Setting(unanswered="skip"),
        Setting(ordered=False, unanswered="skip"),
        *(Setting(wrong=rate) for rate in (0.05, 0.1, 0.2)),
        *(Setting(wrong=rate, annotators=3) for rate in (0.05, 0.1, 0.2)),
        Setting("all: 10 groups", TwoLevel(10)),
        Setting("all: 14 groups", TwoLevel(14)),
        Setting("all: 10 groups of six parts a class", TwoLevel(10, parts=6)),
    ]


class Laboratory:
    """Draws the curves of one seed; clusterings and scores are kept.

    Args:
        splits: What is learned from, and what is refined: val, or the folds.
        seed: Of sampling and clustering.
        draws: Random orders, and draws of errors, that a curve is the mean of.
    """

    def __init__(self, splits: Sequence[Split], seed: int, draws: int) -> None:
        self._splits, self._seed, self._draws = splits, seed, draws
        self.prepared = cache(self._prepared)

    def _prepared(self, cluster: Clusterer) -> list[tuple[Maps, Questionnaire]]:
        found = []
        for split in self._splits:
            clusters, groups = cluster(split, self._seed)
            maps = Maps(split, clusters, Matching(seed=self._seed))
            found.append((maps, Questionnaire.of(split, clusters, groups)))
        return found

    def curve(self, setting: Setting) -> Curve:
        """Return the mean curve of a setting, over splits and draws."""
        drawn = setting.wrong > 0 or not setting.ordered
        found = []
        for maps, asked in self.prepared(setting.cluster):
            for draw in range(self._draws if drawn else 1):
                config = SimulateConfig(
                    error_rate=setting.wrong, annotators=setting.annotators, seed=draw
                )
                random = None if setting.ordered else np.random.default_rng(draw)
                said = asked.answers(config)
                found.append(curve(maps, asked, said, unanswered=setting.unanswered, random=random))
        return mean_curve(found)

    def bounds(self) -> dict[str, tuple[float, float]]:
        """Return CorLoc and IoU of the plain maps, and with every right answer."""
        ends = []
        for maps, asked in self.prepared(PerClass()):
            full = asked.votes(asked.right, "skip")
            ends.append([maps.scores({}), maps.scores(full)])
        plain, full_ = np.mean(ends, axis=0)
        return {name: (plain[at], full_[at]) for at, name in enumerate(("corloc", "iou"))}


def row(
    setting: Setting, seed: int, found: Curve, bounds: Mapping[str, tuple[float, float]]
) -> Row:
    """Return the numbers of a curve."""
    result: Row = {
        "scope": setting.scope,
        "order": "gain" if setting.ordered else "random",
        "unanswered": setting.unanswered,
        "wrong": setting.wrong,
        "annotators": setting.annotators,
        "seed": seed,
        "answers": found.answers.round(4).tolist(),
    }
    for name, (plain, full) in bounds.items():
        first, lasting = found.needed(name, plain + _SHARE * (full - plain))
        result |= {
            name: getattr(found, name).round(4).tolist(),
            f"{name}_plain": round(plain, 4),
            f"{name}_full": round(full, 4),
            f"{name}_first": round(first, 3) if math.isfinite(first) else None,
            f"{name}_lasting": round(lasting, 3) if math.isfinite(lasting) else None,
        }
    return result


def markdown(rows: list[Row], seconds: float) -> str:
    """Return a table with one line a setting, and the projection to a thousand classes."""
    seeds = list(dict.fromkeys(row["seed"] for row in rows))
    marks = [f"{mark:g}" for mark in _MARKS] + ["all"]
    heads = ["questions", "order", "unanswered", "wrong", "annotators"]
    heads += [f"IoU / CorLoc after {mark}" for mark in marks]
    heads += ["answers a class for 95 % of IoU", "of CorLoc"]
    lines = [f"| {' | '.join(heads)} |", "|---|---|---|---:|---:|" + "---:|" * (len(marks) + 2)]
    keys = ("scope", "order", "unanswered", "wrong", "annotators")
    by_line: dict[tuple[Any, ...], list[Row]] = {}
    for one in rows:
        by_line.setdefault(tuple(one[key] for key in keys), []).append(one)
    for (scope, order_, unanswered, wrong, annotators), own in by_line.items():
        cells = [scope, order_, unanswered, f"{wrong:.0%}", str(annotators)]
        for mark in (*_MARKS, math.inf):
            pair = (np.mean([_after(one, name, mark) for one in own]) for name in ("iou", "corloc"))
            cells.append(" / ".join(f"{value:.3f}" for value in pair))
        cells += [_needs(own, name) for name in ("iou", "corloc")]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"Seeds {', '.join(map(str, seeds))}. Needs are first reached (kept from), by seed.",
    ]
    return "\n".join([*lines, *projected(rows, seconds)])


def projected(rows: list[Row], seconds: float) -> list[str]:
    """Return the time that one person would take for a thousand classes, in the first setting."""
    own = _of(rows)
    needs = [one[f"{name}_first"] for one in own for name in ("iou", "corloc")]
    if not needs or None in needs:
        return []
    most = max(needs)
    minutes = _CLASSES * most * seconds / 60
    return [
        "",
        f"{_CLASSES:,} classes × {most:.2f} answers × {seconds:g} s = {minutes:.0f} minutes",
    ]


def _after(one: Row, name: str, answers: float) -> float:
    at = int(np.searchsorted(one["answers"], answers + 1e-9, side="right")) - 1
    return float(one[name][at])


def _needs(own: list[Row], name: str) -> str:
    def said(value: float | None) -> str:
        return "never" if value is None else f"{value:.2f}"

    return ", ".join(
        f"{said(one[f'{name}_first'])} ({said(one[f'{name}_lasting'])})" for one in own
    )


_LOOKS = {
    "by expected gain": ("#0072B2", "-"),
    "random order": ("#D55E00", "--"),
    "by gain, no guesses": ("#009E73", "-."),
    "14 groups, then overrides": ("#CC79A7", ":"),
    "5 % wrong": ("#56B4E9", "--"),
    "20 % wrong": ("#E69F00", "-."),
    "20 % wrong, majority of three": ("#000000", ":"),
}
"""Colour (Okabe and Ito's, for every kind of colour vision) and line."""

_DRAWN: dict[str, Row] = {
    "by expected gain": {},
    "random order": {"order": "random"},
    "by gain, no guesses": {"unanswered": "skip"},
    "14 groups, then overrides": {"scope": "all: 14 groups"},
    "5 % wrong": {"wrong": 0.05},
    "20 % wrong": {"wrong": 0.2},
    "20 % wrong, majority of three": {"wrong": 0.2, "annotators": 3},
}
"""What differs from the usual setting."""


_USUAL = {"scope": "class", "order": "gain", "unanswered": "guess", "wrong": 0.0, "annotators": 1}


def _of(rows: list[Row], other: Row | None = None) -> list[Row]:
    """Return the rows of one setting: the usual one, but for what is given."""
    wanted = (_USUAL | (other or {})).items()
    return [one for one in rows if all(one[key] == value for key, value in wanted)]


def plot(rows: list[Row], place: Path) -> None:
    """Draw IoU and CorLoc against answers a class, means over seeds; errors below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey="col")
    names = list(_DRAWN)
    for line, shown in zip(panels, (names[:4], [names[0], *names[4:]]), strict=True):
        for axes, column, title in zip(line, ("iou", "corloc"), ("IoU", "CorLoc"), strict=True):
            for name in shown:
                own = _of(rows, _DRAWN[name])
                if not own:
                    continue
                last = min(len(one["answers"]) for one in own)
                values = np.mean([one[column][:last] for one in own], axis=0)
                colour, style = _LOOKS[name]
                axes.plot(own[0]["answers"][:last], values, style, color=colour, label=name)
            ends = [(one[f"{column}_plain"], one[f"{column}_full"]) for one in rows]
            low, high = np.mean(ends, axis=0)
            axes.axhline(low, color="#555555", linewidth=0.8)
            axes.text(3, low, "plain maps", va="bottom", ha="right", fontsize=8, color="#555555")
            target = low + _SHARE * (high - low)
            axes.axhline(target, color="#555555", linewidth=0.8, linestyle=":")
            axes.text(3, target, "95 % of the full gain", va="top", ha="right", fontsize=8,
                      color="#555555")  # fmt: skip
            axes.set(xlim=(0, 3), ylabel=title)
            axes.grid(visible=True, alpha=0.25)
        line[1].legend(fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 0.08))
    for axes in panels[1]:
        axes.set_xlabel("answers a class")
    figure.savefig(place, dpi=110)


def main() -> None:
    """Draw all curves; print a Markdown table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="of the sampling")
    parser.add_argument("--draws", type=int, default=10, help="random orders, and draws of errors")
    parser.add_argument("--folds", action="store_true", help="cross-validate on train instead")
    words = "an answer, for the projection"
    parser.add_argument("--seconds", type=float, default=2.0, help=words)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the curves")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()

    localize(_LAYER, options.seeds)
    rows: list[Row] = []
    for seed in options.seeds:
        data = prepare(_LAYER, seed)
        splits = folds(data, seed) if options.folds else [val_split(data)]
        laboratory = Laboratory(splits, seed, options.draws)
        bounds = laboratory.bounds()
        for setting in settings():
            rows.append(row(setting, seed, laboratory.curve(setting), bounds))
            say(f"seed {seed}: {setting}")
    if options.plot:
        plot(rows, options.plot)
    print(json.dumps(rows) if options.json else markdown(rows, options.seconds))


if __name__ == "__main__":
    main()
