"""Cells of a CSV that a spreadsheet may open: it shall neither run nor rewrite them."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet runs a cell that starts with these


def protected(cell: str) -> str:
    """Return a cell that a spreadsheet neither runs as a formula nor rewrites as a number."""
    return "'" + cell if _needs_protection(cell) else cell


def unprotected(cell: str) -> str:
    """Undo `protected`; a cell that was typed in as it is stays as it is."""
    return cell[1:] if cell.startswith("'") and _needs_protection(cell[1:]) else cell


def _needs_protection(cell: str) -> bool:
    # The apostrophe itself is protected too, so that undoing is exact.
    return cell.startswith((*_FORMULA, "'")) or _is_number(cell)


def _is_number(cell: str) -> bool:
    """Whether a spreadsheet would rewrite the cell: the fingerprint 12e45678 reads as a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True
