"""Reading an index: all of a set, or the rows of one shard, which is all that a worker looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.schema import Table
from raypipe.storage.parts import Parts
from raypipe.storage.run import Run
from raypipe.tables import BOXES, IMAGES, SHARDS


def read_shards(run: Run, index_set: str) -> pa.Table:
    """Return the shards of an indexed set: a row each, in order."""
    return run.read(SHARDS, "index", index_set, "shards.parquet")


def read_images(run: Run, index_set: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the images of a set.

    Args:
        run: The run directory.
        index_set: Name of the set below `index/`.
        columns: Columns to read; all by default.
    """
    return _whole(run, index_set, IMAGES, columns)


def read_boxes(run: Run, index_set: str) -> pa.Table:
    """Return the true boxes of a set."""
    return _whole(run, index_set, BOXES)


def uris(images: pa.Table) -> dict[str, str]:
    """Return where each image lies, by its name.

    Args:
        images: Rows of the images table.
    """
    return dict(zip(images["image_id"].to_pylist(), images["uri"].to_pylist(), strict=True))


@dataclass(frozen=True)
class ShardReader:
    """Reads the images of single shards, and their boxes; small and picklable.

    Attributes:
        parts: The files of the images table.
        truth: The files of the boxes table.
    """

    parts: Parts
    truth: Parts

    @classmethod
    def of(cls, run: Run, index_set: str) -> ShardReader:
        """Return the reader of an indexed set."""
        manifest = run.require(f"index/{index_set}")
        return cls(Parts.of(run, manifest, IMAGES.name), Parts.of(run, manifest, BOXES.name))

    def read(self, shard: str, part: str) -> pa.Table:
        """Return the images of one shard.

        Args:
            shard: Its name.
            part: Of the images table, as the shards table says.
        """
        place = self.parts.place(part)
        return IMAGES.check(place.read_table(where=[("shard", "==", shard)]), str(place))

    def boxes(self, images: pa.Table, part: str) -> pa.Table:
        """Return the true boxes of images.

        Args:
            images: Rows of the images table, of one part.
            part: Its name.
        """
        rows = self.truth.rows(BOXES, part)
        return rows.filter(pc.is_in(rows["image_id"], images["image_id"].combine_chunks()))


def _whole(
    run: Run, index_set: str, table: Table, columns: Sequence[str] | None = None
) -> pa.Table:
    """Return all parts of a table in one."""
    parts = Parts.of(run, run.require(f"index/{index_set}"), table.name)
    names = table.schema.names if columns is None else columns
    empty = pa.schema([table.schema.field(name) for name in names]).empty_table()
    return pa.concat_tables([empty, *parts.read(table, columns)])
