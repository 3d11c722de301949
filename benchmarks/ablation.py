"""What each choice of the method is worth on MSRC: one changed at a time, all else as by default.

    python benchmarks/ablation.py                        a Markdown table, both seeds
    python benchmarks/ablation.py --seeds 0 --choices bank γ
    python benchmarks/ablation.py --folds                cross-validated on train, no look at val
    python benchmarks/ablation.py --json

Plain maps are the same in all rows but those of `layer`, which change the grid. The first use of a
layer runs the network over both splits, minutes; see `protocol.py` for what is kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.localized import localize
from benchmarks.protocol import (
    Matching,
    Scores,
    Split,
    evaluate,
    folds,
    merged,
    plain,
    prepare,
    val_split,
)
from benchmarks.variants import Clusterer, Groups, Numbers, OneLevel, PerClass, TwoLevel
from raypipe.config import ClusterConfig, ExtractConfig, RefineConfig, Rule
from raypipe.localizers.architectures import family_of
from raypipe.progress import say

Row = dict[str, str | int | float]


@dataclass(frozen=True)
class Variant:
    """A choice and everything that follows from it.

    Attributes:
        choice: What is chosen.
        value: What it is here.
        layer: Layer of the regions.
        extract: Thresholds and quotas of the regions.
        cluster: How regions are clustered; None = not at all, the plain map.
        matching: How the nearest references are found.
        refine: Votes, exponent, floor.
        rule: What is done with the votes.
    """

    choice: str
    value: str
    layer: str = family_of("resnet50").mid
    extract: ExtractConfig = field(default_factory=ExtractConfig)
    cluster: Clusterer | None = field(default_factory=PerClass)
    matching: Matching = field(default_factory=Matching)
    refine: RefineConfig = field(default_factory=RefineConfig)
    rule: Rule = RefineConfig().rules[0]

    @property
    def key(self) -> str:
        """All that the result follows from."""
        return repr(replace(self, choice="", value=""))


def variants() -> list[Variant]:
    """Return the rows of the table."""
    made = [
        Variant("map", "plain", cluster=None),
        Variant("map", "classify", rule="classify"),
        Variant("map", "filter", rule="filter"),
    ]
    made += [Variant("layer", name, layer=name) for name in ("layer2", "layer3", "layer4")]
    made += [
        Variant("centring", "class mean"),
        Variant(
            "centring", "none", cluster=PerClass(centred=False), matching=Matching(centred=False)
        ),
    ]
    made += [
        Variant("graph's neighbours", str(k), cluster=PerClass(neighbors=k)) for k in (10, 20, 40)
    ]
    made += [
        Variant("edges", "cosine"),
        Variant("edges", "local scaling", cluster=PerClass(scaled=True)),
        Variant("edges", "local scaling, 3 clusters", cluster=PerClass(3, scaled=True)),
    ]
    made += [
        Variant("clusters", "the rule"),
        Variant("clusters", "largest eigengap", cluster=PerClass("gap")),
        *(Variant("clusters", str(count), cluster=PerClass(count)) for count in (2, 3, 4)),
    ]
    made += [
        Variant("asked together, shares apart by less than", str(alike),
                cluster=PerClass(alike=alike))
        for alike in (0.0, 0.1, ClusterConfig().alike, 0.5)
    ]  # fmt: skip
    made += [
        Variant("scope", "class"),
        Variant("scope", "all, two levels", cluster=TwoLevel()),
        Variant("scope", "all, two levels, 7 groups", cluster=TwoLevel(7)),
        Variant("scope", "all, two levels, 14 groups", cluster=TwoLevel(14)),
        Variant("scope", "all, two levels, six clusters a class", cluster=TwoLevel(parts=6)),
        Variant("scope", "all, one level, 14 groups", cluster=OneLevel(14)),
        Variant("scope", "all, one level, 7 groups", cluster=OneLevel(7)),
    ]
    made.append(Variant("bank", "none", matching=Matching(bank=False)))
    made += [
        Variant("bank", f"below {bound}", extract=ExtractConfig(background_threshold=bound))
        for bound in (0.02, 0.1)
    ]
    made += [Variant("votes", str(n), refine=RefineConfig(neighbors=n)) for n in (10, 50)]
    made += [
        Variant("γ", str(value), refine=RefineConfig(gamma=value)) for value in (0.4, 0.6, 0.8)
    ]
    made += [
        Variant("references, and as many of the bank", f"{count:,}",
                matching=Matching(references=count))
        for count in dict.fromkeys((ClusterConfig().references, 5000, 1000, 500))
    ]  # fmt: skip
    made += [
        Variant("matching", "float32"),
        Variant("matching", "bfloat16", matching=Matching(dtype="bfloat16")),
    ]
    return made


class Laboratory:
    """Evaluates variants, each clustering and each result once.

    Args:
        seed: Of sampling, projection and clustering.
        partings: Cross-validate on train with these partings; none = refine val.
    """

    def __init__(self, seed: int, partings: Iterable[int] = ()) -> None:
        self._seed = seed
        self._partings = tuple(partings)
        self._splits: tuple[str, list[Split]] = "", []  # the last ones: a gigabyte with folds
        self._clusterings: dict[str, tuple[dict[str, Numbers], Groups]] = {}
        self._scores: dict[str, Scores] = {}

    def scores(self, variant: Variant) -> Scores:
        """Evaluate a variant."""
        if variant.key not in self._scores:
            started = time.monotonic()
            splits = self._splits_of(variant)
            found = merged([self._evaluated(variant, one) for one in splits])
            self._scores[variant.key] = found
            seconds = time.monotonic() - started
            say(f"{seconds:5.0f} s  seed {self._seed}  {found}  {variant.choice}: {variant.value}")
        return self._scores[variant.key]

    def _splits_of(self, variant: Variant) -> list[Split]:
        key = f"{variant.layer} {variant.extract!r}"
        if key != self._splits[0]:
            data = prepare(variant.layer, self._seed)
            parted = [
                split
                for parting in self._partings
                for split in folds(data, parting, config=variant.extract)
            ]
            self._splits = key, parted or [val_split(data, variant.extract)]
        return self._splits[1]

    def _evaluated(self, variant: Variant, split: Split) -> Scores:
        if variant.cluster is None:
            return plain(split)
        key = f"{variant.layer} {variant.extract!r} {variant.cluster!r} {split.held}"
        if key not in self._clusterings:
            self._clusterings[key] = variant.cluster(split, self._seed)
        clusters, groups = self._clusterings[key]
        return evaluate(
            split,
            clusters,
            groups=groups,
            refine=variant.refine,
            rule=variant.rule,
            matching=replace(variant.matching, seed=self._seed),
        )


def main() -> None:
    """Evaluate all variants; print a Markdown table, or JSON."""
    known = list(dict.fromkeys(variant.choice for variant in variants()))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="of the sampling")
    parser.add_argument("--choices", nargs="+", choices=known, default=known)
    words = "cross-validate on train instead, with these partings (0)"
    parser.add_argument("--folds", type=int, nargs="*", metavar="SEED", help=words)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()

    chosen = [variant for variant in variants() if variant.choice in options.choices]
    for layer in dict.fromkeys(variant.layer for variant in chosen):
        localize(layer, options.seeds)
    partings = () if options.folds is None else options.folds or (0,)
    rows: list[Row] = []
    for seed in options.seeds:  # a seed's features go before the next one's come
        laboratory = Laboratory(seed, partings)
        rows += [row(variant, seed, laboratory.scores(variant)) for variant in chosen]
    print(json.dumps(rows) if options.json else markdown(rows))


def row(variant: Variant, seed: int, scores: Scores) -> Row:
    """Return the numbers of a variant."""
    return {
        "choice": variant.choice,
        "value": variant.value,
        "default": variant.key == Variant("", "").key,
        "seed": seed,
        "iou": round(scores.iou, 6),
        "corloc": round(scores.corloc, 6),
        "answers": round(scores.answers, 3),
    }


def markdown(rows: list[Row]) -> str:
    """Return a table with one line a variant and the default in bold."""
    seeds = list(dict.fromkeys(row["seed"] for row in rows))
    heads = [f"{name}, seed {seed}" for seed in seeds for name in ("IoU", "CorLoc", "answers")]
    lines = [f"| choice | | {' | '.join(heads)} |", "|---|---|" + "---:|" * len(heads)]
    by_line: dict[tuple[str | int | float, ...], list[Row]] = {}
    for found in rows:
        by_line.setdefault((found["choice"], found["value"]), []).append(found)
    last: object = None
    for (choice, value), own in by_line.items():
        cells = [
            f"{found[name]:.3f}" if name != "answers" else f"{found[name]:.1f}"
            for found in own
            for name in ("iou", "corloc", "answers")
        ]
        shown = f"**{value}**" if own[0]["default"] else str(value)
        lines.append(f"| {choice if choice != last else ''} | {shown} | {' | '.join(cells)} |")
        last = choice
    return "\n".join(lines)


if __name__ == "__main__":
    main()
