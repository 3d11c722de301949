"""Numbers as people read them, alike on the pages and in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

NOTHING = "–"
"""What stands where there is no number."""


def number(value: float | None, digits: int = 3) -> str:
    """Return a value with a fixed number of digits."""
    return NOTHING if value is None else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """Return a change with its sign; a change that rounds to nothing has none."""
    if value is None:
        return NOTHING
    return f"{value:+.{digits}f}".replace("-", "−") if round(value, digits) else f"{0:.{digits}f}"


def interval(ends: Sequence[float] | None, digits: int = 3) -> str:
    """Return a 95 % interval of a value, or nothing."""
    return "" if ends is None else " to ".join(number(end, digits) for end in ends)


def signed_interval(ends: Sequence[float] | None, digits: int = 3) -> str:
    """Return a 95 % interval of a change, or nothing."""
    return "" if ends is None else " to ".join(signed(end, digits) for end in ends)


def chance(p: float | None) -> str:
    """Return a p-value."""
    if p is None:
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def shortened(text: str, length: int) -> str:
    """Return a text of at most so many characters, an ellipsis in place of the rest."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
