"""An index as the index step leaves it, of rows made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from raypipe.storage.parts import Parts
from raypipe.storage.run import Manifest, Plan, Run
from raypipe.tables import BOXES, CLASSES, IMAGES, SHARDS

Rows = Sequence[Mapping[str, Any]]

PART = "00000"


def write_index(
    run: Run, index_set: str, images: Rows, classes: Rows = (), boxes: Rows = ()
) -> Manifest:
    """Write the tables of a set in one part, a row group a shard."""
    plan = Plan(f"index/{index_set}", {}, {})
    shards = [list(rows) for _, rows in groupby(images, key=lambda row: row["shard"])]
    tables = [IMAGES.build(rows) for rows in shards] or [IMAGES.build([])]
    Parts(run, plan, IMAGES.name).place(PART).write_tables(tables)
    Parts(run, plan, BOXES.name).place(PART).write_table(BOXES.build(boxes))
    listed = [{"shard": rows[0]["shard"], "part": PART, "images": len(rows)} for rows in shards]
    run.write(SHARDS, SHARDS.build(listed), plan.step, "shards.parquet")
    run.write(CLASSES, CLASSES.build(classes), plan.step, "classes.parquet")
    masks = sum(row["mask_uri"] is not None for row in images)
    return run.finish(plan, {"images": len(images), "boxes": len(boxes), "masks": masks})
