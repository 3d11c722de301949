"""A PASCAL VOC tree: JPEGImages, Annotations, ImageSets/Main, SegmentationClass.

The root may also be the folder that holds `VOCdevkit` or one `VOC<year>` folder.
"""

from __future__ import annotations

from collections.abc import Iterator

from pyarrow import fs

from raypipe.config import DatasetConfig
from raypipe.datasets.base import Box, ClassRecord, ImageRecord, require_dir
from raypipe.datasets.pascal import read_boxes
from raypipe.errors import InputError
from raypipe.storage.ahead import in_order
from raypipe.storage.location import Location

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip
"""The challenge's classes; class i has pixel value i + 1 in its masks."""


class Voc:
    """Images with box annotations in XML and masks in palette PNGs.

    Args:
        config: The dataset's settings.
        root: The folder that holds the tree.

    Raises:
        InputError: If there is no such tree.
    """

    def __init__(self, config: DatasetConfig, root: Location) -> None:
        self._root = _tree(require_dir(root, "a VOC tree"))
        del config
        self._boxes: dict[str, tuple[Box, ...]] = {}
        self._xml = {name.removesuffix(".xml") for name in (self._root / "Annotations").names()}
        self._masks = {
            name.removesuffix(".png") for name in (self._root / "SegmentationClass").names()
        }
        self._images = {
            name.rsplit(".", 1)[0]: name for name in (self._root / "JPEGImages").names()
        }

    def classes(self) -> list[ClassRecord]:
        """Return the classes: of `labels.txt` in the order of mask values, else of the XML files.

        Raises:
            InputError: If there is none.
        """
        listed = self._listed()
        found = listed or sorted(
            {box.name for _, boxes in self._annotated(sorted(self._xml)) for box in boxes}
        )
        if not found:
            raise InputError(
                f"{self._root}: no classes in its annotations",
                "put the XML files in place, or a labels.txt with one class a line",
            )
        values = listed or (list(VOC_CLASSES) if set(found) <= set(VOC_CLASSES) else [])
        return [
            ClassRecord(name, name, mask_value=values.index(name) + 1 if name in values else None)
            for name in (values or found)
            if name in found
        ]

    def _listed(self) -> list[str]:
        """Return the classes in the order of their mask values, or nothing."""
        labels = self._root / "labels.txt"
        if not labels.exists():
            return []
        lines = labels.read_text().splitlines()
        names = [line.strip() for line in lines if line.strip()]
        return [name for name in names if name != "background"]

    def images(self, split: str) -> Iterator[ImageRecord]:
        """Yield the images that `ImageSets/Main/<split>.txt` names.

        Raises:
            InputError: If there is no such list.
        """
        sets = self._root / "ImageSets" / "Main"
        place = sets / f"{split}.txt"
        if not place.exists():
            # Class lists are named <class>_<split>.txt: not splits of their own.
            known = [name.removesuffix(".txt") for name in sets.names() if "_" not in name]
            raise InputError(
                f"{place}: not found, so there is no split {split!r}",
                f"--split is one of {', '.join(known) or '(none found)'}",
            )
        order = [record.name for record in self.classes()]
        lines = place.read_text().splitlines()
        names = [name for line in lines if (name := line.split(" ")[0].strip())]
        for name, found in self._annotated(names):
            yield self._record(name, found, order)

    def _record(self, name: str, found: tuple[Box, ...], order: list[str]) -> ImageRecord:
        boxes = tuple(box for box in found if box.name in order)
        present = {box.name for box in boxes}
        images, masks = self._root / "JPEGImages", self._root / "SegmentationClass"
        return ImageRecord(
            image_id=name,
            uri=str(images / self._images.get(name, f"{name}.jpg")),
            classes=tuple(known for known in order if known in present),
            boxes=boxes,
            mask_uri=str(masks / f"{name}.png") if name in self._masks else None,
        )

    def _annotated(self, names: list[str]) -> Iterator[tuple[str, tuple[Box, ...]]]:
        """Yield images with their boxes, all classes; each file is read once."""

        def read(name: str) -> tuple[Box, ...]:
            if name not in self._xml:
                return ()
            if name in self._boxes:
                return self._boxes[name]
            place = self._root / "Annotations" / f"{name}.xml"
            return read_boxes(place.read_bytes(), str(place), first=1)

        for name, boxes in zip(names, in_order(read, names, self._root), strict=True):
            self._boxes[name] = boxes
            yield name, boxes


def _tree(root: Location) -> Location:
    """Return the folder with JPEGImages: the root, below VOCdevkit, or its one VOC<year>."""
    for base in (root, root / "VOCdevkit"):
        if (base / "JPEGImages").is_dir():
            return base
        folders = [info.base_name for info in base.entries() if info.type == fs.FileType.Directory]
        years = [name for name in folders if (base / name / "JPEGImages").is_dir()]
        if len(years) == 1:
            return base / str(years[0])
        if years:
            raise InputError(
                f"{base}: holds several VOC trees", f"pass one as --root: {', '.join(years)}"
            )
    raise InputError(f"{root}: not a VOC tree, there is no JPEGImages folder", "check --root")
