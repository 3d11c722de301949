"""From the labels in files, names or numbers, to classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from raypipe.datasets.base import ClassRecord
from raypipe.errors import InputError
from raypipe.storage.location import Location

NETWORK_CLASSES = 1000
"""Outputs of every ILSVRC-2012 classifier; they are in the order of the WordNet ids."""

_ILSVRC_WORDS = {0: "tench", 1: "goldfish", 999: "toilet tissue"}
"""First words of some of its classes: with 1,000 classes, they tell that list from others."""


@dataclass(frozen=True)
class ClassNames:
    """Names by number; none if the dataset does not say.

    Attributes:
        names: In the order of the numbers.
        source: Where they stand, for errors.
    """

    names: tuple[str, ...] = ()
    source: str = ""

    @classmethod
    def of(cls, names: Sequence[str], source: str) -> ClassNames:
        """Return the names as they are listed.

        Raises:
            InputError: If one is empty or comes twice.
        """
        seen: set[str] = set()
        for number, name in enumerate(names):
            if not name or name in seen:
                wrong = f"{name!r} comes twice" if name else "is empty"
                raise InputError(f"{source}: class {number} {wrong}", "name every class once")
            seen.add(name)
        return cls(tuple(names), source)

    @classmethod
    def read(cls, folder: Location) -> ClassNames:
        """Return those of `classes.txt`, one a line and the first line is 0; none without it."""
        place = folder / "classes.txt"
        if not place.exists():
            return cls()
        return cls.of([line.strip() for line in place.read_text().splitlines()], str(place))

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.names)

    def name(self, label: object, source: str) -> str | None:
        """Return the class of a label; none if the label says that there is none.

        Args:
            label: A number, a name, or None. The Hub writes -1 where labels are withheld.
            source: What holds it, for errors.

        Raises:
            InputError: If it is neither, or not one of the names.
        """
        match label:
            case None | -1 | "":
                return None
            case bool() | float():
                pass
            case int() if not self.names:
                return str(label)
            case int() if 0 <= label < len(self.names):
                return self.names[label]
            case str() if not self.names or label in self._known:
                return label
        if self.names:
            raise InputError(
                f"{source}: label {label!r} is none of the {len(self.names)} classes of "
                f"{self.source}",
                "mend the label, or the list of classes",
            )
        raise InputError(f"{source}: label {label!r} is no name and no number", "mend it")


def class_records(names: Sequence[str]) -> list[ClassRecord]:
    """Return the classes; of ILSVRC's 1,000 with their network outputs.

    A title is the name's first synonym: `tench` of `tench, Tinca tinca`.
    """
    ilsvrc = is_ilsvrc(names)
    return [
        ClassRecord(name, name.split(",")[0].strip(), number if ilsvrc else None)
        for number, name in enumerate(names)
    ]


def is_ilsvrc(names: Sequence[str]) -> bool:
    """Whether these are the 1,000 classes of ILSVRC 2012 in the order of the network's outputs."""
    if len(names) != NETWORK_CLASSES:
        return False
    if all(re.fullmatch(r"n\d{8}", name) for name in names):
        return list(names) == sorted(names)
    return all(names[at].split(",")[0] == word for at, word in _ILSVRC_WORDS.items())


def in_order_of_numbers(names: Iterable[str]) -> list[str]:
    """Return the names sorted, numbers by their value: 2 before 10."""
    return sorted(names, key=lambda name: (0, int(name), "") if name.isdecimal() else (1, 0, name))
