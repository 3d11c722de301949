"""A table that steps meet in: its Arrow schema, a comment a column, and a check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from raypipe.errors import InputError


def column(name: str, kind: pa.DataType, doc: str, *, nullable: bool = False) -> pa.Field:
    """Make an Arrow field that carries its own documentation."""
    return pa.field(name, kind, nullable=nullable, metadata={"doc": doc})


@dataclass(frozen=True)
class Table:
    """A named table: what one row is, and the schema of its columns.

    Attributes:
        name: The table's name in documentation and errors.
        path: Where it lies in the run directory; `<set>` is the name of an indexed set of images.
        row: What one row stands for.
        fields: Its columns, in order.
    """

    name: str
    path: str
    row: str
    fields: tuple[pa.Field, ...]
    schema: pa.Schema = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "schema", pa.schema(list(self.fields)))

    def build(self, rows: Sequence[dict[str, Any]]) -> pa.Table:
        """Make an Arrow table from one dict a row.

        Raises:
            pyarrow.ArrowInvalid: If a value does not fit its column.
        """
        return pa.Table.from_pylist(list(rows), schema=self.schema)

    def check(self, table: pa.Table, source: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the table with exactly this schema's columns, in order.

        Args:
            table: What was read.
            source: Where it was read from, for the error.
            columns: The columns that were asked for; all by default.

        Raises:
            InputError: If a column is missing or of another type.
        """
        names = list(columns) if columns is not None else self.schema.names
        missing = [name for name in names if name not in table.column_names]
        if missing:
            raise InputError(
                f"{source}: not a raypipe {self.name} table, it lacks {', '.join(missing)}",
                "run the step that makes it again with --fresh",
            )
        try:
            return table.select(names).cast(pa.schema([self.schema.field(name) for name in names]))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            raise InputError(
                f"{source}: a column of the {self.name} table has another type ({error})",
                "run the step that makes it again with --fresh",
            ) from error
