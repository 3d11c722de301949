"""The ILSVRC classification and localization tree, as unpacked from the challenge's archives.

LOC_synset_mapping.txt                            `n01440764 tench, Tinca tinca`, 1,000 lines
[ILSVRC/]Data/CLS-LOC/train/<wnid>/*.JPEG
[ILSVRC/]Data/CLS-LOC/val/*.JPEG
[ILSVRC/]Annotations/CLS-LOC/{train/<wnid>,val}/*.xml     where present
LOC_val_solution.csv                              labels of val, where there is no XML
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

from pyarrow import fs

from raypipe.config import DatasetConfig
from raypipe.datasets.base import Box, ClassRecord, ImageRecord, require_dir
from raypipe.datasets.pascal import read_boxes
from raypipe.errors import InputError
from raypipe.storage.location import Location

_NETWORK_CLASSES = 1000
_SUFFIXES = (".jpeg", ".jpg", ".png")


class Ilsvrc:
    """ILSVRC 2012 to 2017; class names are WordNet ids.

    Args:
        config: The dataset's settings.
        root: The folder that holds `LOC_synset_mapping.txt` and `ILSVRC/`.

    Raises:
        InputError: If there is no such tree.
    """

    def __init__(self, config: DatasetConfig, root: Location) -> None:
        del config
        require_dir(root, "the ILSVRC tree")
        self._root = root
        self._base = root / "ILSVRC" if (root / "ILSVRC").is_dir() else root
        require_dir(self._base / "Data" / "CLS-LOC", "the images of the ILSVRC tree")

    def classes(self) -> list[ClassRecord]:
        """Return the classes of `LOC_synset_mapping.txt`, in its order.

        The full list is sorted by wnid, which is the order of every ILSVRC-2012 classifier's
        outputs; a shorter one gives no network index.

        Raises:
            InputError: If the file is missing or malformed.
        """
        place = self._root / "LOC_synset_mapping.txt"
        if not place.exists():
            raise InputError(f"{place}: not found", "put it beside the ILSVRC folder")
        pairs = [line.split(" ", 1) for line in place.read_text().splitlines() if line.strip()]
        broken = [number for number, pair in enumerate(pairs, 1) if len(pair) != 2]
        if broken:
            raise InputError(
                f"{place}: line {broken[0]} is not `<wnid> <names>`", "restore the file"
            )
        wnids = [wnid for wnid, _ in pairs]
        full = len(pairs) == _NETWORK_CLASSES and wnids == sorted(wnids)
        return [
            ClassRecord(wnid, names.split(",")[0].strip(), number if full else None)
            for number, (wnid, names) in enumerate(pairs)
        ]

    def images(self, split: str) -> Iterator[ImageRecord]:
        """Yield the images of `train` or `val`.

        Raises:
            InputError: If the split is not there, or a val image has no label.
        """
        folder = self._base / "Data" / "CLS-LOC" / split
        if split not in {"train", "val"} or not folder.is_dir():
            present = [
                name for name in ("train", "val")
                if (self._base / "Data" / "CLS-LOC" / name).is_dir()
            ]  # fmt: skip
            raise InputError(
                f"{folder}: no split {split!r}", f"--split is one of {', '.join(present)}"
            )
        yield from self._train(folder) if split == "train" else self._val(folder)

    def _train(self, folder: Location) -> Iterator[ImageRecord]:
        truth = self._base / "Annotations" / "CLS-LOC" / "train"
        for info in folder.entries():
            if info.type == fs.FileType.Directory:
                wnid = info.base_name
                annotated = set((truth / wnid).names())
                for name in _images(folder / wnid):
                    stem = name.rsplit(".", 1)[0]
                    boxes = _boxes(truth / wnid, f"{stem}.xml", annotated)
                    uri = str(folder / wnid / name)
                    yield ImageRecord(f"train/{wnid}/{stem}", uri, (wnid,), boxes)

    def _val(self, folder: Location) -> Iterator[ImageRecord]:
        truth = self._base / "Annotations" / "CLS-LOC" / "val"
        annotated = set(truth.names())
        solution = self._solution()
        for name in _images(folder):
            stem = name.rsplit(".", 1)[0]
            boxes = _boxes(truth, f"{stem}.xml", annotated) or solution.get(stem, ())
            if not boxes:
                raise InputError(
                    f"{folder / name}: no label",
                    "put Annotations/CLS-LOC/val or LOC_val_solution.csv in place",
                )
            yield ImageRecord(f"val/{stem}", str(folder / name), (boxes[0].name,), boxes)

    def _solution(self) -> dict[str, tuple[Box, ...]]:
        """Return the boxes of `LOC_val_solution.csv`, by image."""
        place = self._root / "LOC_val_solution.csv"
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


def _images(folder: Location) -> list[str]:
    return [name for name in folder.names() if name.lower().endswith(_SUFFIXES)]


def _boxes(folder: Location, name: str, there: set[str]) -> tuple[Box, ...]:
    if name not in there:
        return ()
    # ILSVRC's files hold 0 as a minimum: they count pixels from 0, the last inclusive.
    return read_boxes((folder / name).read_bytes(), str(folder / name), first=0)
