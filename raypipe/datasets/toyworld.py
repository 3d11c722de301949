"""The demonstration's dataset: drawn scenes, written once as a PASCAL VOC tree and read as one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from raypipe.config import DatasetConfig, ToyWorldConfig
from raypipe.datasets.base import ClassRecord, ImageRecord
from raypipe.datasets.scenes import KINDS, Kind, Scene, draw
from raypipe.datasets.voc import Voc
from raypipe.errors import ConfigError, InputError
from raypipe.storage.location import Location

_DRAWING = 1  # grows whenever the same settings give other scenes
_SPLITS = ("train", "val")
_RECORD = "toyworld.json"

# PASCAL VOC's first mask colours: viewers show the classes, readers see their numbers.
_PALETTE = (0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128, 128, 0, 128)

_ANNOTATION = """\
<annotation>
  <filename>{name}.jpg</filename>
  <size><width>{size}</width><height>{size}</height><depth>3</depth></size>
  <segmented>1</segmented>
  <object>
    <name>{kind}</name>
    <difficult>0</difficult>
    <bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>
  </object>
</annotation>
"""


class ToyWorld:
    """Scenes in which every object comes with a companion, drawn below the root if need be.

    A root that holds the scenes of these settings is read; an unfinished drawing of them is
    finished; anything else is left alone.

    Args:
        config: The dataset's settings; `config.toyworld` says what to draw.
        root: A local folder: new, empty, or drawn by these settings.

    Raises:
        ConfigError: If the root is not local or holds anything else.
        InputError: If it cannot be written.
    """

    def __init__(self, config: DatasetConfig, root: Location) -> None:
        if not root.is_local:
            raise ConfigError(f"{root}: scenes are drawn into a local folder", "pass --root PATH")
        if not _is_drawn(root, config.toyworld):
            _draw(root, config.toyworld)
        self._voc = Voc(config, root)

    def classes(self) -> list[ClassRecord]:
        """Return the classes, in the order of their mask values."""
        return self._voc.classes()

    def images(self, split: str) -> Iterator[ImageRecord]:
        """Yield the scenes of `train` or `val`, class by class.

        Raises:
            InputError: If there is no such split.
        """
        return self._voc.images(split)


def _is_drawn(root: Location, config: ToyWorldConfig) -> bool:
    """Return whether all scenes are there; refuse a folder that is not this drawing's."""
    record = root / _RECORD
    if not record.exists():
        if root.entries():
            raise ConfigError(f"{root}: not empty and no toy world", "pass another --root")
        return False
    try:
        found = json.loads(record.read_text())
    except json.JSONDecodeError as error:
        raise ConfigError(f"{record}: not JSON ({error})", "pass another --root") from None
    for finished in (True, False):
        if found == _record(config, finished=finished):
            return finished
    raise ConfigError(
        f"{root}: holds a toy world of other settings ({json.dumps(found)})",
        "pass another --root, or delete the folder",
    )


def _record(config: ToyWorldConfig, *, finished: bool) -> dict[str, int | bool]:
    return {"drawing": _DRAWING, **config.identity(), "finished": finished}


def _draw(root: Location, config: ToyWorldConfig) -> None:
    """Write the tree: the record says unfinished before the first scene, finished after the last.

    Raises:
        InputError: If it cannot be written.
    """
    tree = Path(root.path)
    folders = ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Main",
               "ImageSets/Segmentation")  # fmt: skip
    try:
        (root / _RECORD).write_bytes(json.dumps(_record(config, finished=False)).encode())
        for folder in folders:
            (tree / folder).mkdir(parents=True, exist_ok=True)
        for split in _SPLITS:
            names = [
                _write_scene(tree, config, split, value, number)
                for value in range(1, len(KINDS) + 1)
                for number in range(config.images_per_class)
            ]
            for purpose in ("Main", "Segmentation"):
                (tree / "ImageSets" / purpose / f"{split}.txt").write_text("\n".join(names) + "\n")
        labels = ["background", *(kind.name for kind in KINDS)]
        (tree / "labels.txt").write_text("\n".join(labels) + "\n")
        (root / _RECORD).write_bytes(json.dumps(_record(config, finished=True)).encode())
    except OSError as error:
        raise InputError(
            f"{root}: cannot be drawn into ({error.strerror})", "pass a writable --root"
        ) from None


def _write_scene(tree: Path, config: ToyWorldConfig, split: str, value: int, number: int) -> str:
    """Draw and write one scene; return its name."""
    kind = KINDS[value - 1]
    name = f"{split}_{kind.name}_{number:04d}"
    # A scene depends on nothing but its own numbers: more images leave the first ones as they are.
    seed = (config.seed, _SPLITS.index(split), value, number)
    scene = draw(kind, config.size, np.random.default_rng(seed))
    Image.fromarray(scene.pixels).save(tree / "JPEGImages" / f"{name}.jpg", quality=92)
    mask = Image.fromarray(scene.inside.astype(np.uint8) * np.uint8(value), mode="P")
    mask.putpalette(_PALETTE)
    mask.save(tree / "SegmentationClass" / f"{name}.png")
    annotation = _annotation(name, kind, scene)
    (tree / "Annotations" / f"{name}.xml").write_text(annotation)
    return name


def _annotation(name: str, kind: Kind, scene: Scene) -> str:
    """Return the XML with the object's box: pixels from 1, last one inclusive, as in VOC."""
    rows, cols = (np.flatnonzero(scene.inside.any(axis=axis)) + 1 for axis in (1, 0))
    return _ANNOTATION.format(
        name=name, size=len(scene.pixels), kind=kind.name,
        x0=cols[0], y0=rows[0], x1=cols[-1], y1=rows[-1],
    )  # fmt: skip
