"""What a step commits for a shard: several tables, written so that a kill never leaves a half.

Each table is one file a shard. Rejects are written first, the table that says that the shard is
done last; a shard without that file is done again from the start and writes the same files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.progress import say
from raypipe.schema import Table
from raypipe.storage.parts import Parts
from raypipe.storage.run import Plan, Run, content_hash
from raypipe.tables import REJECTS


@dataclass(frozen=True)
class Output:
    """A table of a shard.

    Attributes:
        table: What its rows are; each has an `image_id`.
        order: Columns to sort by, so that a file is the same however its rows came.
        group: Rows a row group; 0 = all in one.
    """

    table: Table
    order: tuple[str, ...]
    group: int = 0


@dataclass(frozen=True)
class ShardCommit:
    """Writes the tables of a step's shards; small and picklable.

    Attributes:
        run: The run directory.
        plan: The step.
        outputs: Its tables beside the rejects; the last says that a shard is done.
    """

    run: Run
    plan: Plan
    outputs: tuple[Output, ...]

    def parts(self, table: Table) -> Parts:
        """Return the files of a table."""
        return Parts(self.run, self.plan, table.name)

    @property
    def rejects(self) -> Parts:
        """The files of the rejects: only shards that have any have one."""
        return self.parts(REJECTS)

    def done(self) -> set[str]:
        """Return the slugs of the shards that are committed."""
        return self.parts(self.outputs[-1].table).done()

    def write(
        self,
        shard: str,
        rows: Mapping[str, pa.Table],
        rejects: pa.Table,
        again: Collection[str] | None = None,
    ) -> None:
        """Commit a shard.

        Args:
            shard: Its name.
            rows: Rows by the table's name.
            rejects: Images that could not be used.
            again: If these images of a committed shard were tried again: all other rows stay.
        """
        # A retry lists rejects last: until then its images still count as rejects.
        if again is None:
            self._write_rejects(shard, rejects)
        for output in self.outputs:
            place = self.parts(output.table).place(shard)
            own = rows[output.table.name]
            if again is not None:
                old = self.parts(output.table).rows(output.table, shard)
                own = pa.concat_tables([_without(old, again), own])
            own = _sorted(own, output.order)
            place.write_table(own, group=output.group or None)
        if again is not None:
            old = self.rejects.rows(REJECTS, shard)
            self._write_rejects(shard, pa.concat_tables([_without(old, again), rejects]))

    def _write_rejects(self, shard: str, rejects: pa.Table) -> None:
        place = self.rejects.place(shard)
        if rejects.num_rows:
            place.write_table(rejects.sort_by("image_id"))
        else:
            place.delete()

    def finish(self) -> dict[str, int]:
        """Remove what is not of this configuration; return the rows of each table."""
        counts, removed = {}, 0
        for table in (*(output.table for output in self.outputs), REJECTS):
            parts = self.parts(table)
            removed += parts.remove_others()
            counts[table.name] = parts.count()
        if removed:
            say(f"{self.plan.step}: {removed} files of other settings or killed processes removed")
        return counts

    def rejected(self) -> pa.Table:
        """Return all rejects."""
        return pa.concat_tables([REJECTS.build([]), *self.rejects.read(REJECTS)])

    def rejected_content(self) -> str:
        """Return a hash of which images were rejected; empty if none was.

        Two executions of a step with the same settings differ in nothing else.
        """
        return content_hash(self.rejected()["image_id"].to_pylist())


def _sorted(rows: pa.Table, order: tuple[str, ...]) -> pa.Table:
    """Return rows in order; those that are so already are not copied."""
    places = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in order])
    as_they_are = pa.array(np.arange(rows.num_rows), places.type)
    return rows if places.equals(as_they_are) else rows.take(places)


def _without(rows: pa.Table, images: Collection[str]) -> pa.Table:
    """Return the rows of other images."""
    own = pc.is_in(rows["image_id"], value_set=pa.array(list(images), pa.string()))
    return rows.filter(pc.invert(own))
