"""The nearest references of cells: what a vote is taken of.

They do not depend on how regions are clustered as long as every cluster is answered, and the
simulated annotator answers all. So they are found once a split and kept.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.splits import Split
from raypipe.cluster.rows import sampled
from raypipe.config import ClusterConfig

VOTES = 50
"""Nearest references kept of each cell."""

FLOOR = 0.02
"""Cells above this have their nearest references kept; `refine.floor` cannot be lower."""

_BLOCK = 1024  # cells compared with all references at once: 40 MB


@dataclass(frozen=True)
class Matching:
    """How the nearest references of a cell are found.

    Attributes:
        centred: Subtract the class mean, as the product does.
        bank: Compare with the background bank, too.
        references: Regions drawn of a class, at most, and as many cells of its bank.
        dtype: Precision of the cosines.
        seed: Of the drawing.
    """

    centred: bool = True
    bank: bool = True
    references: int = ClusterConfig().references
    dtype: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest references of the cells of one class's pairs.

    Attributes:
        cells: For each pair, (n, 2) rows and columns.
        found: For each pair, (n, k) places among regions and bank, the nearest first.
    """

    cells: list[npt.NDArray[np.intp]]
    found: list[npt.NDArray[np.uint16]]


def nearest(split: Split, matching: Matching) -> dict[str, Nearest]:
    """Return the nearest references of every cell; kept on disk."""
    digest = hashlib.sha256(repr((asdict(matching), VOTES, FLOOR)).encode()).hexdigest()[:8]
    place = split.place / f"nearest-{split.name}-{digest}.npy"
    cells = {
        name: [np.argwhere(pair.plain > FLOOR) for pair in split.pairs_of(name)]
        for name in split.regions
    }
    if not place.exists():
        found = [_nearest(split, name, own, matching) for name, own in cells.items()]
        part = place.with_suffix(".part.npy")
        np.save(part, np.concatenate(found))
        part.rename(place)
    stored, start = np.load(place), 0
    result = {}
    for name, own in cells.items():
        ends = start + np.cumsum([len(one) for one in own])
        result[name] = Nearest(own, np.split(stored[start : ends[-1]], ends[:-1] - start))
        start = int(ends[-1])
    return result


def nearest_of(
    split: Split, name: str, matching: Matching, voting: npt.NDArray[np.bool_]
) -> Nearest:
    """Return the nearest references of a class's cells among those that vote; not kept.

    Args:
        split: What `val_split` or `folds` returned.
        name: The class.
        matching: As `nearest` has it.
        voting: (n,) which of its foreground regions vote; its bank always does.
    """
    cells = [np.argwhere(pair.plain > FLOOR) for pair in split.pairs_of(name)]
    found = _nearest(split, name, cells, matching, voting)
    return Nearest(cells, np.split(found, np.cumsum([len(one) for one in cells])[:-1]))


def _nearest(
    split: Split,
    name: str,
    cells: list[npt.NDArray[np.intp]],
    matching: Matching,
    voting: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.uint16]:
    """Return (n, k) places of the nearest references of a class's cells, pair after pair.

    As `cluster.rows` draws references and `refine.match.Matcher` finds the nearest.
    """
    own = split.regions[name]
    centre = own.features.mean(axis=0) * matching.centred
    references = torch.from_numpy(np.concatenate([own.features, own.bank]) - centre)
    generator = np.random.default_rng(matching.seed)
    allowed = sampled(len(own.features), matching.references, generator)
    if voting is not None:
        allowed = allowed[voting[allowed]]
    if matching.bank:
        rest = sampled(len(own.bank), matching.references, generator)
        allowed = np.concatenate([allowed, len(own.features) + rest])
    dtype = getattr(torch, matching.dtype)
    unit = torch.nn.functional.normalize(references[torch.from_numpy(allowed)], dim=1).to(dtype)
    vectors = np.concatenate(
        [
            split.cells.vectors(pair.at, places)
            for pair, places in zip(split.pairs_of(name), cells, strict=True)
        ]
    )
    found = []
    with torch.inference_mode():
        for block in torch.split(torch.from_numpy(vectors - centre), _BLOCK):
            near = torch.nn.functional.normalize(block, dim=1).to(dtype) @ unit.T
            found.append(near.topk(min(VOTES, len(allowed)), dim=1).indices.numpy())
    return np.asarray(allowed[np.concatenate(found)], dtype=np.uint16)
