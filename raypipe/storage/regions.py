"""Reading the regions of one class, which lie in the files of the shards that hold its images."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.storage.location import Location
from raypipe.storage.parts import Parts
from raypipe.storage.run import Run
from raypipe.tables import MAPS, REGIONS, matrix


@dataclass(frozen=True)
class ClassRegions:
    """The n regions of one class, sorted by image, row and column.

    Attributes:
        keys: Image, row and column of each.
        features: (n, d) float32, rows of length 1.
    """

    keys: list[tuple[str, int, int]]
    features: npt.NDArray[np.float32]


def region_files(run: Run) -> dict[str, list[Location]]:
    """Return the files that hold regions of each class."""
    manifest = run.require("extract")
    parts, maps = (Parts.of(run, manifest, table.name) for table in (REGIONS, MAPS))
    files: dict[str, list[Location]] = defaultdict(list)
    # Of an unfinished extraction, only what is committed: maps are written last.
    for name in sorted(parts.done() & maps.done()):
        place = parts.place(name)
        for found in pc.unique(place.read_table(columns=["class"])["class"]).to_pylist():
            files[found].append(place)
    return dict(files)


def read_regions(files: list[Location], name: str, *, background: bool) -> ClassRegions:
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
