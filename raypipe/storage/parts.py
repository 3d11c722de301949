"""The files of a step that come one a shard: their names, who is done, what is left over."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pyarrow as pa

from raypipe.schema import Table
from raypipe.storage.location import Location
from raypipe.storage.run import Manifest, Plan, Run, slug

_OURS = re.compile(r".+\.[0-9a-f]{8}\.(parquet|tmp)")
"""Names that raypipe gives: a part's, and a temporary file's; a person's own files stay."""

_FOOTERS = 16  # footers read at a time: on an object store each is a request


class Parts:
    """The files of a step that come one a shard (or a class), named by shard and fingerprint.

    A file's name follows from what went into it, so that a resumed step skips what is there and
    never mixes two configurations.

    Args:
        run: The run directory.
        plan: The step that writes them.
        kind: Folder below the step's.
    """

    def __init__(self, run: Run, plan: Plan, kind: str) -> None:
        self.folder = run.step(plan.step) / kind
        self.suffix = f".{plan.fingerprint[:8]}.parquet"

    @classmethod
    def of(cls, run: Run, manifest: Manifest, kind: str) -> Parts:
        """Return the parts that a finished step wrote."""
        return cls(run, Plan(manifest.step, manifest.config, manifest.upstream), kind)

    def place(self, name: str) -> Location:
        """Return the file of a shard."""
        return self.folder / f"{slug(name)}{self.suffix}"

    def done(self) -> set[str]:
        """Return the slugs of the shards whose file is there."""
        return set(self.written())

    def written(self) -> dict[str, datetime]:
        """Return when the file of each shard was written, by the shard's slug."""
        return {
            info.base_name.removesuffix(self.suffix): info.mtime
            for info in self.folder.entries()
            if info.base_name.endswith(self.suffix)
        }

    def rows(self, table: Table, name: str) -> pa.Table:
        """Return the rows of a shard, none if it has no file."""
        place = self.place(name)
        return table.check(place.read_table(), str(place)) if place.exists() else table.build([])

    def read(self, table: Table, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield every part, in the order of the names, checked against the schema.

        Args:
            table: What the parts must be.
            columns: Columns to read; all by default.
        """
        for name in sorted(self.done()):
            place = self.folder / f"{name}{self.suffix}"
            found = place.read_table(columns=list(columns) if columns is not None else None)
            yield table.check(found, str(place), columns)

    def count(self) -> int:
        """Return the rows of all parts, from the files' footers."""
        places = [self.folder / f"{name}{self.suffix}" for name in self.done()]
        with ThreadPoolExecutor(_FOOTERS) as pool:
            return sum(pool.map(Location.count_rows, places))

    def remove_others(self) -> int:
        """Delete what is not of this configuration; return how many files.

        That is parts of another one, and temporary files of a process that was killed.
        """
        kept = {name for name in self.folder.names() if name.endswith(self.suffix)}
        return remove_others(self.folder, kept)


def remove_others(folder: Location, kept: Collection[str]) -> int:
    """Delete the parts in a folder that are not to be kept; return how many files."""
    others = [name for name in folder.names() if _OURS.fullmatch(name) and name not in kept]
    for name in others:
        (folder / name).delete()
    return len(others)
