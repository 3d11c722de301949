"""Labels and boxes of ILSVRC's images, wherever they are given."""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

from raypipe.datasets.base import Box
from raypipe.datasets.ilsvrc_devkit import Devkit
from raypipe.datasets.ilsvrc_images import File
from raypipe.datasets.pascal import read_boxes
from raypipe.datasets.tars import read_compressed
from raypipe.errors import InputError
from raypipe.storage.ahead import in_order
from raypipe.storage.location import Location

Label = tuple[str, tuple[Box, ...]]
"""The class of an image, and its boxes, if they are known."""

SOLUTION = "LOC_val_solution.csv"
BOXES = "ILSVRC2012_bbox_val_v3.tgz"

# ILSVRC's files hold 0 as a minimum: they count pixels from 0, the last inclusive.
_FIRST = 0


def annotated(folder: Location, files: Iterable[File]) -> Iterator[tuple[File, tuple[Box, ...]]]:
    """Yield files with the boxes of their XML files, if they have one.

    Args:
        folder: Where the XML files are; it may be missing.
        files: The images, in order.

    Raises:
        InputError: If an XML file is broken.
    """
    there = set(folder.names())

    def read(file: File) -> tuple[File, tuple[Box, ...]]:
        place = folder / f"{file[0]}.xml"
        if place.name not in there:
            return file, ()
        return file, read_boxes(place.read_bytes(), str(place), first=_FIRST)

    return in_order(read, files, folder) if there else ((file, ()) for file in files)


class ValTruth:
    """What is known of val images without an XML file of their own.

    Args:
        root: The folder that holds the other sources.
        devkit: Reads the development kit.
    """

    def __init__(self, root: Location, devkit: Callable[[], Devkit | None]) -> None:
        self._root, self._devkit = root, devkit

    def label(self, name: str) -> Label | None:
        """Return class and boxes of an image from the first source that knows it.

        They are the archive of boxes, the solution file, and the development kit, which has no
        boxes; none is read before it is needed.

        Raises:
            InputError: If a source is damaged.
        """
        if boxes := self._boxes.get(name) or self._solution.get(name):
            return boxes[0].name, boxes
        number = name.rpartition("_")[2]
        if number.isdigit() and 0 < int(number) <= len(self._labels):
            return self._labels[int(number) - 1], ()
        return None

    @cached_property
    def _boxes(self) -> dict[str, tuple[Box, ...]]:
        place = self._root / BOXES
        if not place.exists():
            return {}
        return {
            posixpath.basename(name).removesuffix(".xml"): read_boxes(
                content, f"{place}: {name}", first=_FIRST
            )
            for name, content in read_compressed(place, (".xml",))
        }

    @cached_property
    def _solution(self) -> dict[str, tuple[Box, ...]]:
        place = self._root / SOLUTION
        if not place.exists():
            return {}
        boxes: dict[str, tuple[Box, ...]] = {}
        for number, row in enumerate(csv.DictReader(place.read_text().splitlines()), start=2):
            try:
                words = row["PredictionString"].split()
                boxes[row["ImageId"]] = tuple(
                    Box(wnid, float(x0), float(y0), float(x1) + 1, float(y1) + 1)
                    for wnid, x0, y0, x1, y1 in zip(*[iter(words)] * 5, strict=True)
                )
            except (KeyError, ValueError, AttributeError):
                raise InputError(
                    f"{place}: line {number} is not `ImageId,PredictionString` with five words "
                    "a box",
                    "restore the file",
                ) from None
        return boxes

    @cached_property
    def _labels(self) -> tuple[str, ...]:
        kit = self._devkit()
        return kit.labels if kit else ()
