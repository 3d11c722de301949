"""The MSRC protocol in one process: seconds to try another clustering or another matching.

A *split* is what is learned from and what is refined: train and val, or, to choose constants
without a look at val, four fifths of train and the last. Folds part the regions, the clusters, the
answers and the bank; the head stays the one fitted on all of train, so that a fold's plain maps
are those of images that the head has seen.

    data = prepare("layer3", seed=0)
    split = val_split(data)                                  # or folds(data, fold_seed=0)
    found = clustered(split, ClusterConfig())                # or any {class: (n,) numbers from 1}
    print(evaluate(split, found))                            # corloc, iou, answers, per class

The nearest references of a cell do not depend on how regions are clustered as long as every
cluster is answered, and the simulated annotator answers all. So they are found once a split and
kept; after that an evaluation takes a second or two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from benchmarks.localized import Pair
from benchmarks.nearest import FLOOR, VOTES, Matching, Nearest, nearest
from benchmarks.splits import Doubles, Regions, Split, folds, prepare, val_split
from raypipe.annotate.simulate import judged
from raypipe.cluster.assign import cluster
from raypipe.config import ClusterConfig, EvaluateConfig, RefineConfig, Rule, SimulateConfig
from raypipe.evaluate.boxes import best_iou, hits
from raypipe.evaluate.masks import pixel_scores
from raypipe.maps import Floats, foreground, map_boxes, upsampled
from raypipe.refine.suppress import refined

__all__ = [
    "Matching", "Nearest", "Regions", "Scores", "Split", "clustered", "evaluate", "folds",
    "merged", "nearest", "plain", "prepare", "refined_maps", "scored", "val_split",
]  # fmt: skip

Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Scores:
    """What an evaluation found, a row a pair.

    Attributes:
        names: (n,) class of each pair.
        box_ious: (n,) IoU of the box with its best true box, NaN where there is no true box.
        ious: (n,) IoU of the mask.
        questions: Number of answers, by class; under "*" those asked once for groups.
        objects: Share of each class's regions that stand in an *object* cluster.
    """

    names: npt.NDArray[np.str_]
    box_ious: Doubles
    ious: Doubles
    questions: Mapping[str, float] = field(default_factory=dict)
    objects: Mapping[str, float] = field(default_factory=dict)

    @property
    def classes(self) -> list[str]:
        """The classes that were evaluated."""
        return sorted(set(self.names.tolist()))

    @property
    def per_class(self) -> dict[str, tuple[float, float, float]]:
        """CorLoc, IoU and answers of each class, answers to shared groups not counted."""
        right = hits(self.box_ious, EvaluateConfig().box_iou)
        return {
            name: (
                float(np.nanmean(right[self.names == name])),
                float(self.ious[self.names == name].mean()),
                float(self.questions.get(name, 0)),
            )
            for name in self.classes
        }

    @property
    def corloc(self) -> float:
        """Mean over classes."""
        return float(np.mean([corloc for corloc, _, _ in self.per_class.values()]))

    @property
    def iou(self) -> float:
        """Mean over classes."""
        return float(np.mean([iou for _, iou, _ in self.per_class.values()]))

    @property
    def answers(self) -> float:
        """Answers a class."""
        return sum(self.questions.values()) / len(self.classes)

    def __str__(self) -> str:
        return f"CorLoc {self.corloc:.3f}  IoU {self.iou:.3f}  {self.answers:.2f} answers a class"


def clustered(split: Split, config: ClusterConfig) -> dict[str, Numbers]:
    """Cluster each class as the product does, scope `class`."""
    return {
        name: cluster(own.features, config, bank=own.bank).clusters
        for name, own in split.regions.items()
    }


def evaluate(
    split: Split,
    clusters: Mapping[str, Numbers],
    *,
    groups: Mapping[tuple[str, int], int] | None = None,
    refine: RefineConfig | None = None,
    rule: Rule = "classify",
    simulate: SimulateConfig | None = None,
    matching: Matching | None = None,
) -> Scores:
    """Let the simulated annotator answer, refine, and compare with the truth.

    Args:
        split: What `val_split` or `folds` returned.
        clusters: (n,) cluster of each region, from 1, by class, in the order of `split.features`.
        groups: Group of a (class, cluster), answered once for all its members; a cluster without a
            group is asked about itself.
        refine: Votes, floor, threshold and exponent.
        rule: What to do with the votes.
        simulate: Share for *object*.
        matching: How the nearest references are found.
    """
    refine, simulate = refine or RefineConfig(), simulate or SimulateConfig()
    if refine.neighbors > VOTES or min(refine.floor, refine.threshold) < FLOOR:
        raise ValueError(f"at most {VOTES} votes, floor and threshold at least {FLOOR}")
    objects, questions = answered(split, clusters, groups or {}, simulate)
    close = nearest(split, matching or Matching())
    grids: dict[int, Floats] = {}
    for name, own in split.regions.items():
        if not objects[name].any():
            continue  # nothing to refine with: the plain maps stay
        votes = np.concatenate([objects[name], np.zeros(len(own.bank), bool)])
        pairs = split.pairs_of(name)
        maps = refined_maps(pairs, close[name], votes, rule, refine)
        grids |= {id(pair): grid for pair, grid in zip(pairs, maps, strict=True)}
    shares = {name: float(own.mean()) for name, own in objects.items()}
    maps = [grids.get(id(pair), pair.plain) for pair in split.pairs]
    return scored(split.pairs, maps, refine.threshold, questions, shares)


def refined_maps(
    pairs: Sequence[Pair],
    close: Nearest,
    votes: npt.NDArray[Any],
    rule: Rule = "classify",
    refine: RefineConfig | None = None,
) -> list[Floats]:
    """Refine the maps of one class's pairs, as the product does.

    Args:
        pairs: Of one class.
        close: The nearest references of their cells.
        votes: (n,) of its regions, then of its bank: 1 = object, 0 = not.
        rule: What to do with the votes.
        refine: Votes, floor, threshold and exponent.
    """
    refine, maps = refine or RefineConfig(), []
    for pair, cells, found in zip(pairs, close.cells, close.found, strict=True):
        share = np.zeros(pair.plain.shape, np.float32)
        share[tuple(cells.T)] = votes[found[:, : refine.neighbors]].mean(axis=1)
        grid = refined(pair.plain, share, rule, refine)
        lost = not grid.any()
        maps.append(pair.plain if lost else np.asarray(grid / grid.max(), dtype=np.float32))
    return maps


def plain(split: Split) -> Scores:
    """Evaluate the maps as they are."""
    maps = [pair.plain for pair in split.pairs]
    return scored(split.pairs, maps, RefineConfig().threshold, {}, {})


def merged(scores: Sequence[Scores]) -> Scores:
    """Put folds together: pairs side by side, answers and shares averaged."""
    return Scores(
        np.concatenate([one.names for one in scores]),
        np.concatenate([one.box_ious for one in scores]),
        np.concatenate([one.ious for one in scores]),
        _averaged([one.questions for one in scores]),
        _averaged([one.objects for one in scores]),
    )


def answered(
    split: Split,
    clusters: Mapping[str, Numbers],
    groups: Mapping[tuple[str, int], int],
    simulate: SimulateConfig,
) -> tuple[dict[str, npt.NDArray[np.bool_]], dict[str, float]]:
    """Answer every question.

    Returns:
        By class, whether each region stands in an *object* cluster; and the number of questions.
    """
    asked = {  # groups are numbered downwards from -1, so that they never meet a class's own
        name: np.array([-1 - groups[name, number] if (name, number) in groups else number
                        for number in own.tolist()])
        for name, own in clusters.items()
    }  # fmt: skip
    shared = {name: numbers < 0 for name, numbers in asked.items()}
    pooled = np.concatenate([asked[name][shared[name]] for name in asked])
    on_class = np.concatenate([split.regions[name].on_class[shared[name]] for name in asked])
    verdicts = _verdicts(pooled, on_class, simulate)
    questions = {"*": float(len(verdicts))} if verdicts else {}
    objects = {}
    for name, numbers in asked.items():
        alone = ~shared[name]
        own = _verdicts(numbers[alone], split.regions[name].on_class[alone], simulate)
        questions[name] = float(len(own))
        every = own | verdicts
        objects[name] = np.array([every[number] for number in numbers.tolist()], dtype=bool)
    return objects, questions


def _verdicts(numbers: Numbers, on_class: Doubles, simulate: SimulateConfig) -> dict[int, bool]:
    """Return whether each cluster is *object*."""
    names = np.unique(numbers)
    if not len(names):
        return {}
    shares = np.array([np.nanmean(on_class[numbers == name]) for name in names])
    verdicts = judged(shares, simulate.min_share)
    if "unsure" in verdicts:
        raise ValueError("a cluster lies in void altogether")
    return {
        name: verdict == "object" for name, verdict in zip(names.tolist(), verdicts, strict=True)
    }


def scored(
    pairs: Sequence[Pair],
    maps: Sequence[Floats],
    threshold: float,
    questions: Mapping[str, float] = MappingProxyType({}),
    objects: Mapping[str, float] = MappingProxyType({}),
) -> Scores:
    """Compare the maps of pairs with the truth, as the evaluate step does."""
    box_ious, ious = [], []
    with threadpool_limits(1):  # products are small: on a busy machine threads would wait
        for pair, grid in zip(pairs, maps, strict=True):
            best = best_iou(map_boxes(grid, *pair.size, threshold), pair.boxes)
            box_ious.append(np.nan if best is None else best)
            image_map = upsampled(grid, *pair.size)
            mask = foreground(image_map, EvaluateConfig().mask_threshold)
            ious.append(pixel_scores(mask, pair.mask).iou)
    names = np.array([pair.name for pair in pairs])
    return Scores(names, np.array(box_ious), np.array(ious), questions, objects)


def _averaged(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = sorted({name for one in found for name in one})
    return {name: sum(one.get(name, 0.0) for one in found) / len(found) for name in names}
