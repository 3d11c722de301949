"""Tables on the screen: without frames, numbers to the right, any text as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text


def show(headings: Sequence[str], rows: Iterable[Sequence[str | int]]) -> None:
    """Print a table; a column of numbers is set to the right."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    lines = [list(row) for row in rows]
    for place, heading in enumerate(headings):
        numbers = all(isinstance(row[place], int) for row in lines)
        table.add_column(heading, justify="right" if numbers else "left", overflow="fold")
    for row in lines:
        table.add_row(*(Text(str(cell)) for cell in row))  # no markup: a class may be called [bold]
    Console().print(table)
