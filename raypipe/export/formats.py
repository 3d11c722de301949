"""The formats by name, and writing one, into a folder that holds nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from raypipe import __version__
from raypipe.errors import InputError
from raypipe.export import coco, csvfile, fiftyone, huggingface, labelstudio, voc, yolo
from raypipe.export.records import ExportImage, Source
from raypipe.progress import tracking
from raypipe.storage.location import Location

_MANIFEST = "raypipe-export.json"


class Format(StrEnum):
    """What an export can be."""

    COCO = "coco"
    CSV = "csv"
    FIFTYONE = "fiftyone"
    HUGGINGFACE = "huggingface"
    LABELSTUDIO = "labelstudio"
    VOC = "voc"
    YOLO = "yolo"


_WITH_IMAGES = {
    Format.FIFTYONE: fiftyone.write,
    Format.HUGGINGFACE: huggingface.write,
    Format.VOC: voc.write,
    Format.YOLO: yolo.write,
}
_WITHOUT = {Format.COCO: coco.write, Format.CSV: csvfile.write}
"""How each is written, with the images on demand, or never."""


@dataclass(frozen=True)
class Options:
    """What some formats can be told.

    Attributes:
        copy_images: Put the images into the export, too.
        root: Label Studio: the folder that it serves as local files.
    """

    copy_images: bool = False
    root: str = "/"


def export(source: Source, form: Format, out: Location, options: Options) -> dict[str, int]:
    """Write the detections of a refined set.

    Args:
        source: The detections.
        form: What to write.
        out: Folder to write, on disk or in a bucket: empty, or an export of before, which goes.
        options: For the formats that have them.

    Returns:
        Counts of images, boxes and the like.

    Raises:
        InputError: If the set was not refined, or the folder holds something else.
    """
    rule = source.chosen()
    _make_room(out)
    total = source.run.require(f"refine/{source.target_set}").counts.get("images", 0)
    with tracking(f"writing {form.value}", total, "images") as tracker:

        def images() -> Iterator[ExportImage]:
            for image in source.images():
                yield image
                tracker.advance(1)

        counts = _written(form, images(), source, out, options)
    content = {
        "format": form.value, "set": source.target_set, "rule": rule, "counts": counts,
        "run": str(source.run), "raypipe": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    (out / _MANIFEST).write_bytes((json.dumps(content, indent=2) + "\n").encode())
    return counts


def _written(
    form: Format, images: Iterable[ExportImage], source: Source, out: Location, options: Options
) -> dict[str, int]:
    """Write a format."""
    classes, copy = source.classes(), options.copy_images
    if form is Format.LABELSTUDIO:
        return labelstudio.write(
            images, classes, out,
            root=options.root, copy_images=copy, model_version=f"raypipe {source.chosen()}",
        )  # fmt: skip
    if form in _WITH_IMAGES:
        return _WITH_IMAGES[form](images, classes, out, copy_images=copy)
    return _WITHOUT[form](images, classes, out)


def _make_room(out: Location) -> None:
    """Delete an export of before; whatever else is there stays, and is an error."""
    found = next(out.files(), None)
    if found is None:
        return
    if not (out / _MANIFEST).exists():
        raise InputError(
            f"{out}: not empty ({found}), and not a finished export",
            "name a folder that is not there yet, or delete it",
        )
    out.delete()
