"""ILSVRC 2012 to 2017, classification and localization: the unpacked tree, or the archives.

ILSVRC2012_img_{train,val}.tar, or [ILSVRC/]Data/CLS-LOC/{train/<wnid>,val}/*.JPEG

Classes, from the first that is there:
  LOC_synset_mapping.txt                        `n01440764 tench, Tinca tinca`, 1,000 lines
  ILSVRC2012_devkit_t12[.tar.gz]                its data/meta.mat
  the wnids of train
Labels and boxes of val, likewise, image by image:
  [ILSVRC/]Annotations/CLS-LOC/val/*.xml        and train/<wnid>/*.xml for boxes of train
  ILSVRC2012_bbox_val_v3.tgz
  LOC_val_solution.csv
  ILSVRC2012_devkit_t12[.tar.gz]                labels only
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from raypipe.config import DatasetConfig
from raypipe.datasets.base import ClassRecord, ImageRecord, require_dir
from raypipe.datasets.ilsvrc_devkit import Devkit
from raypipe.datasets.ilsvrc_images import Archive, Images, Tree
from raypipe.datasets.ilsvrc_truth import BOXES, SOLUTION, ValTruth, annotated
from raypipe.datasets.names import NETWORK_CLASSES
from raypipe.datasets.tars import COMPRESSED
from raypipe.errors import InputError
from raypipe.storage.location import Location

_SPLITS = ("train", "val")


class Ilsvrc:
    """ILSVRC; class names are WordNet ids.

    Args:
        config: The dataset's settings.
        root: The folder that holds the archives, or the tree.

    Raises:
        InputError: If there is neither.
    """

    def __init__(self, config: DatasetConfig, root: Location) -> None:
        del config
        self._root = require_dir(root, "the ILSVRC tree, or its archives")
        base = root / "ILSVRC" if (root / "ILSVRC").is_dir() else root
        self._annotations = base / "Annotations" / "CLS-LOC"
        self._images: dict[str, Images] = {}
        names = set(root.names())
        for split in _SPLITS:
            tree, archive = base / "Data" / "CLS-LOC" / split, f"ILSVRC2012_img_{split}"
            if tree.is_dir():
                self._images[split] = Tree(tree)
            elif f"{archive}.tar" in names:
                self._images[split] = Archive(root / f"{archive}.tar")
            elif packed := names & {archive + ending for ending in COMPRESSED}:
                raise InputError(
                    f"{root / packed.pop()}: compressed, so its images cannot be read in place",
                    "decompress it to .tar: images hardly compress",
                )
        if not self._images:
            raise InputError(
                f"{root}: neither Data/CLS-LOC nor ILSVRC2012_img_train.tar or "
                "ILSVRC2012_img_val.tar",
                "check --root",
            )

    def classes(self) -> list[ClassRecord]:
        """Return the classes in the order of their wnids, whether or not they have images.

        That is the order of every ILSVRC-2012 classifier's outputs; fewer than its 1,000 classes
        give no network index.

        Raises:
            InputError: If nothing lists them, or what does is malformed.
        """
        words = self._words()
        full = len(words) == NETWORK_CLASSES
        return [
            ClassRecord(wnid, names.split(",")[0].strip(), number if full else None)
            for number, (wnid, names) in enumerate(sorted(words.items()))
        ]

    def images(self, split: str) -> Iterator[ImageRecord]:
        """Yield the images of `train` or `val`.

        Raises:
            InputError: If the split is not there, or a val image has no label.
        """
        if split not in self._images:
            raise InputError(
                f"{self._root}: no split {split!r}", f"--split is one of {', '.join(self._images)}"
            )
        return self._train() if split == "train" else self._val()

    def _train(self) -> Iterator[ImageRecord]:
        for wnid, files in self._images["train"].by_class():
            for (name, uri), boxes in annotated(self._annotations / "train" / wnid, files):
                yield ImageRecord(f"train/{wnid}/{name}", uri, (wnid,), boxes)

    def _val(self) -> Iterator[ImageRecord]:
        truth = ValTruth(self._root, lambda: self._devkit)
        for (name, uri), boxes in annotated(self._annotations / "val", self._images["val"].flat()):
            label = (boxes[0].name, boxes) if boxes else truth.label(name)
            if label is None:
                raise InputError(
                    f"{uri}: no label",
                    f"put Annotations/CLS-LOC/val, {BOXES}, {SOLUTION} or the development kit "
                    "in place",
                )
            yield ImageRecord(f"val/{name}", uri, (label[0],), label[1])

    @cached_property
    def _devkit(self) -> Devkit | None:
        return Devkit.find(self._root)

    def _words(self) -> dict[str, str]:
        """Return the names of the classes by wnid."""
        mapping = self._root / "LOC_synset_mapping.txt"
        if mapping.exists():
            return _mapping(mapping)
        if self._devkit:
            return self._devkit.words
        if "train" in self._images:
            return {wnid: wnid for wnid in self._images["train"].wnids()}
        raise InputError(
            f"{self._root}: nothing lists the classes",
            "put LOC_synset_mapping.txt or ILSVRC2012_devkit_t12.tar.gz in place",
        )


def _mapping(place: Location) -> dict[str, str]:
    pairs = [line.split(" ", 1) for line in place.read_text().splitlines() if line.strip()]
    broken = [number for number, pair in enumerate(pairs, 1) if len(pair) != 2]
    if broken:
        raise InputError(f"{place}: line {broken[0]} is not `<wnid> <names>`", "restore the file")
    return {pair[0]: pair[1] for pair in pairs}
