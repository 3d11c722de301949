"""What one annotator did, in order, so that it can be undone and done again. Pure: rows in and out.

Everything follows from the log, so undo outlives the process. Taking an answer back is a row
`withdrawn`; if the answer had replaced an earlier one, that one stands again and is repeated after
it. Doing it again repeats the very row that was taken back. So no row needs to say which it is.
"""

from __future__ import annotations

from collections.abc import Iterable

from raypipe.annotate.votes import WITHDRAWN, Row, Who, who

_SAID = ("verdict", "seconds", "note")


class History:
    """The answers of one annotator.

    Args:
        rows: Their rows of the log, the oldest first.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._done: list[Row] = []
        self._undone: list[Row] = []
        self._of_question: dict[Who, list[Row]] = {}
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """Take note of a row that was appended to the log."""
        own = self._of_question.setdefault(who(row), [])
        if row["verdict"] == WITHDRAWN:
            if own:
                self._take_back(own)
            return
        if self._undone and _same(row, self._undone[-1]):
            self._undone.pop()
        elif own and _same(row, own[-1]):
            return  # it says what stands already: what an undone answer had replaced
        else:
            self._undone.clear()
        own.append(row)
        self._done.append(row)

    def stands(self, row: Row) -> bool:
        """Whether an answer, with its seconds and its note, is the one that stands."""
        return any(_same(row, last) for last in self._of_question.get(who(row), [])[-1:])

    def undo(self) -> list[Row]:
        """Return the rows that take the last answer back; none if there is none."""
        if not self._done:
            return []
        last = self._done[-1]
        before = self._of_question[who(last)][-2:-1]
        return [last | {"verdict": WITHDRAWN, "seconds": None, "note": ""}, *before]

    def redo(self) -> list[Row]:
        """Return the row that gives the answer again that was taken back last, if any."""
        return self._undone[-1:]

    def standing(self) -> list[Row]:
        """Return the answers that stand, one a question."""
        return [own[-1] for own in self._of_question.values() if own]

    def _take_back(self, own: list[Row]) -> None:
        row = own.pop()
        # Nearly always the last one; an ingest that is undone takes back others too.
        place = next(n for n in reversed(range(len(self._done))) if self._done[n] is row)
        self._undone.append(self._done.pop(place))


def _same(one: Row, other: Row) -> bool:
    return who(one) == who(other) and all(one[name] == other[name] for name in _SAID)
