"""Reading the regions of one class, which lie in the files of the shards that hold its images."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import matrix
from raypipe.storage.ahead import in_order
from raypipe.storage.location import Location
from raypipe.storage.parts import Parts
from raypipe.storage.run import Run
from raypipe.tables import MAPS, REGIONS


@dataclass(frozen=True)
class ClassRegions:
    """The n regions of one class, sorted by image, row and column.

    Attributes:
        keys: Image, row and column of each.
        features: (n, d) float32, rows of length 1.
    """

    keys: list[tuple[str, int, int]]
    features: npt.NDArray[np.float32]


@dataclass(frozen=True)
class RegionFiles:
    """Where the regions of one class lie.

    Attributes:
        places: Files, in the order of their names.
        regions: Foreground regions in all of them.
    """

    places: tuple[Location, ...]
    regions: int


def region_files(run: Run) -> dict[str, RegionFiles]:
    """Return the files of each class that has foreground regions."""
    manifest = run.require("extract")
    parts, maps = (Parts.of(run, manifest, table.name) for table in (REGIONS, MAPS))
    # Of an unfinished extraction, only what is committed: maps are written last.
    places = [parts.place(name) for name in sorted(parts.done() & maps.done())]
    files: dict[str, list[Location]] = defaultdict(list)
    regions: Counter[str] = Counter()
    for place, counted in zip(places, in_order(_counted, places, run.root), strict=True):
        for name, count in counted.items():
            files[name].append(place)
            regions[name] += count
    return {name: RegionFiles(tuple(files[name]), regions[name]) for name in files if regions[name]}


def _counted(place: Location) -> dict[str, int]:
    """Return the foreground regions of each class that a file holds anything of."""
    table = place.read_table(columns=["class", "background"])
    foreground = pc.cast(pc.invert(table["background"]), pa.int64())
    sums = pa.table([table["class"], foreground], ["class", "n"]).group_by("class")
    counted = sums.aggregate([("n", "sum")])
    return dict(zip(counted["class"].to_pylist(), counted["n_sum"].to_pylist(), strict=True))


def read_regions(files: Sequence[Location], name: str, *, background: bool) -> ClassRegions:
    """Return a class's foreground regions, or its background bank.

    Args:
        files: Where `region_files` says they are.
        name: The class.
        background: Which of the two.
    """
    found = []
    for place in files:
        own = place.read_table(where=[("class", "==", name), ("background", "==", background)])
        found.append(REGIONS.check(own, str(place)))
    table = pa.concat_tables(found) if found else REGIONS.schema.empty_table()
    table = table.sort_by([("image_id", "ascending"), ("row", "ascending"), ("col", "ascending")])
    keys = zip(
        table["image_id"].to_pylist(), table["row"].to_pylist(), table["col"].to_pylist(),
        strict=True,
    )  # fmt: skip
    return ClassRegions(list(keys), matrix(table["feature"]).astype(np.float32))
