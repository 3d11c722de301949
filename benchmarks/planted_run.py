"""A run directory as `raypipe extract` leaves it, with regions whose clusters were planted.

Written class by class, through the product's own commit: never more than about a class in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.planted import planted, unit
from raypipe.columns import matrix_column
from raypipe.storage.commit import ShardCommit
from raypipe.storage.run import Manifest, Plan, Run
from raypipe.tables import MAPS, PROJECTION, REGIONS, REJECTS

GRID = 14
"""Cells across and down a map: a ResNet's at 224 px."""

_MOST = 40  # regions of an image, and cells of the bank, at most: a fifth of a map each
_TAIL, _TINY = 0.12, 0.03  # shares of the classes


@dataclass(frozen=True)
class Spec:
    """What to write.

    Attributes:
        classes: How many.
        regions: Of a class, at most.
        bank: Background cells of a class, at most.
        dims: Dimensions of a stored feature.
        shard: Images of a shard, at most; the default is the product's.
        seed: Of everything.
    """

    classes: int = 1000
    regions: int = 5000
    bank: int = 5000
    dims: int = 256
    shard: int = 128
    seed: int = 0


@dataclass(frozen=True)
class PlannedClass:
    """One class to write.

    Attributes:
        number: Its place, from 0.
        images: How many it has.
        regions: Foreground regions.
        bank: Background cells.
        clusters: Planted, 1 to 6.
    """

    number: int
    images: int
    regions: int
    bank: int
    clusters: int

    @property
    def name(self) -> str:
        """The class's name, like a WordNet id."""
        return f"n{self.number:08d}"


@dataclass(frozen=True)
class _Piece:
    """Rows of a shard that are of one class."""

    images: int
    regions: pa.Table
    maps: pa.Table


def planned(spec: Spec) -> list[PlannedClass]:
    """Return the classes, with sizes as real data has them.

    85 % are near the limit: 500 to 1,300 images, as ILSVRC's, fill the quota but for images with
    little foreground. 12 % are smaller, down to 20 regions; 3 % have fewer than a graph has
    neighbours.
    """
    generator = np.random.default_rng(spec.seed)
    places = generator.permutation((np.arange(spec.classes) + 0.5) / spec.classes)
    return [_planned(spec, number, float(at), generator) for number, at in enumerate(places)]


def _planned(spec: Spec, number: int, at: float, generator: np.random.Generator) -> PlannedClass:
    few = min(20, spec.regions)
    if at < 1 - _TAIL - _TINY:
        regions = round(spec.regions * generator.uniform(0.9, 1.0))
        images = round(generator.uniform(500, 1300) * spec.regions / 5000)
    elif at < 1 - _TINY:
        regions = round(few * (spec.regions / few) ** generator.random())
        images = round(regions / generator.uniform(5, 30))
    else:
        regions = int(generator.integers(1, few))
        images = round(regions / 5)
    images = max(images, -(-regions // _MOST), 1)
    clusters = int(generator.integers(1, 7))
    return PlannedClass(number, images, regions, min(spec.bank, _MOST * images), clusters)


def plan(spec: Spec) -> Plan:
    """Return the extract step that the run claims to have done."""
    return Plan("extract", {"index_set": "train", "planted": asdict(spec)}, {})


def write_run(run: Run, spec: Spec) -> Manifest:
    """Write the tables of a finished extraction and its manifest; do nothing if they are there."""
    from raypipe.extract.flow import OUTPUTS
    from raypipe.localizers.projection import projection_table, random_directions

    step = plan(spec)
    done = run.manifest(step.step)
    if done is not None and run.state(step)[0] == "done":
        return done
    run.begin(step, {"index_set": "train"})
    directions = random_directions(4 * spec.dims, spec.dims, spec.seed)
    run.write(PROJECTION, projection_table(directions), step.step, "projection.parquet")
    commit = ShardCommit(run, step, OUTPUTS)
    images = 0
    for number, pieces in enumerate(_shards(spec)):
        rows = {
            "regions": pa.concat_tables(piece.regions for piece in pieces),
            "maps": pa.concat_tables(piece.maps for piece in pieces),
        }
        commit.write(f"{number:06d}-planted", rows, REJECTS.build([]))
        images += sum(piece.images for piece in pieces)
    counts = {"images": images} | commit.finish()
    return run.finish(step, counts, {"index_set": "train", "content": ""})


def _shards(spec: Spec) -> Iterator[list[_Piece]]:
    """Yield the shards as the index cuts them: a class in about equal pieces.

    Neighbours of less than half a shard share one.
    """
    crumbs: list[_Piece] = []
    for item in planned(spec):
        small = 2 * item.images < spec.shard
        if crumbs and (not small or sum(p.images for p in crumbs) + item.images > spec.shard):
            yield crumbs
            crumbs = []
        count = -(-item.images // spec.shard)
        ends = np.arange(count + 1) * item.images // count
        for piece in _pieces(spec, item, ends):
            if small:
                crumbs.append(piece)
            else:
                yield [piece]
    if crumbs:
        yield crumbs


def _pieces(spec: Spec, item: PlannedClass, ends: npt.NDArray[np.intp]) -> Iterator[_Piece]:
    """Yield a class's rows, cut by its images."""
    generator = np.random.default_rng([spec.seed, item.number])
    cells = np.argsort(generator.random((item.images, GRID * GRID)), axis=1)
    near, far = (_quotas(count, item.images) for count in (item.regions, item.bank))
    # The classes differ by more than a class's clusters do: a direction that all its rows share.
    shared = unit(generator.standard_normal((1, spec.dims), np.float32))
    seeds = generator.integers(0, 2**31, 2).tolist()
    features = planted(item.regions, spec.dims, item.clusters, seeds[0])[0]
    bank = planted(item.bank, spec.dims, 2, seeds[1])[0]
    foreground, background = (unit(rows + shared).astype(np.float16) for rows in (features, bank))
    starts = [np.concatenate([[0], np.cumsum(quotas)]) for quotas in (near, far)]
    for first, last in pairwise(ends.tolist()):
        images = slice(first, last)
        cut_near, cut_far = (slice(start[first], start[last]) for start in starts)
        maps = _scores(cells[images], near[images], generator)
        # Foreground comes first in an image's order of cells, the bank last.
        halves = [
            _regions(item, first, near[images], cells[images], maps, foreground[cut_near]),
            _regions(item, first, far[images], cells[images, ::-1], maps, background[cut_far],
                     background=True),
        ]  # fmt: skip
        yield _Piece(last - first, pa.concat_tables(halves), _maps(item, first, maps))


def _quotas(total: int, images: int) -> npt.NDArray[np.intp]:
    """Return how many rows each image gives, as the product's quota deals them."""
    return np.diff(np.arange(images + 1) * total // images)


def _scores(
    cells: npt.NDArray[np.intp], near: npt.NDArray[np.intp], generator: np.random.Generator
) -> npt.NDArray[np.float16]:
    """Return (n, 196) maps: each image's first cells are foreground, the last are background."""
    places = np.arange(GRID * GRID)
    drawn = generator.random(cells.shape)
    ordered = np.where(places < near[:, None], 0.25 + 0.7 * drawn, 0.12 + 0.07 * drawn)
    ordered[:, -_MOST:] = 0.09 * drawn[:, -_MOST:]
    ordered[:, 0] = 1.0
    maps = np.empty_like(ordered)
    np.put_along_axis(maps, cells, ordered, axis=1)
    return maps.astype(np.float16)


def _image_ids(item: PlannedClass, numbers: npt.NDArray[np.intp]) -> list[str]:
    return [f"{item.name}/{item.name}_{number}.JPEG" for number in numbers.tolist()]


def _regions(
    item: PlannedClass,
    first: int,
    quotas: npt.NDArray[np.intp],
    cells: npt.NDArray[np.intp],
    maps: npt.NDArray[np.float16],
    features: npt.NDArray[np.float16],
    *,
    background: bool = False,
) -> pa.Table:
    """Return REGIONS rows: of each image the first cells of its order, as many as its quota."""
    images = np.repeat(np.arange(len(quotas)), quotas)
    starts = np.cumsum(quotas) - quotas
    chosen = cells[images, np.arange(len(images)) - starts[images]]
    columns: dict[str, Any] = {
        "image_id": _image_ids(item, first + images),
        "class": [item.name] * len(images),
        "row": (chosen // GRID).astype(np.int32),
        "col": (chosen % GRID).astype(np.int32),
        "score": maps[images, chosen].astype(np.float32),
        "background": np.full(len(images), background),
        "feature": matrix_column(features, np.float16),
    }
    return pa.table(columns, schema=REGIONS.schema)


def _maps(item: PlannedClass, first: int, maps: npt.NDArray[np.float16]) -> pa.Table:
    """Return MAPS rows."""
    count = len(maps)
    sizes = {"width": 500, "height": 375, "grid_width": GRID, "grid_height": GRID}
    columns: dict[str, Any] = {
        "image_id": _image_ids(item, first + np.arange(count)),
        "class": [item.name] * count,
        **{name: np.full(count, value, np.int32) for name, value in sizes.items()},
        "map": matrix_column(maps, np.float16),
        "peak": np.full(count, 10.0, np.float32),
        "score": np.full(count, 0.9, np.float32),
    }
    return pa.table(columns, schema=MAPS.schema)
