"""COCO: a dataset, and the same detections as a list of results.

Boxes are x, y, width, height from the left top corner, in pixels and not rounded; masks are COCO's
compressed run lengths. Ids count from 1 and are unique over the file: tools take 0 for *none*.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any

import numpy as np

from raypipe import rle
from raypipe.export.records import ExportDetection, ExportImage
from raypipe.export.streams import streamed
from raypipe.storage.location import Location

Record = dict[str, Any]


def write(
    images: Iterable[ExportImage], classes: Sequence[tuple[str, str]], out: Location
) -> dict[str, int]:
    """Write `annotations.json`, the dataset, and `results.json`, for `COCO.loadRes`.

    The first holds boxes as if they were truth, for tools that train or show; the second holds them
    with scores, for tools that measure. Neither is held in memory.

    Args:
        images: The images.
        classes: Name of each class and its name for people.
        out: Folder to write.

    Returns:
        Counts of images, boxes and masks.

    Raises:
        InputError: If they cannot be written.
    """
    numbers = {name: number for number, (name, _) in enumerate(classes, 1)}
    categories = [
        {"id": numbers[name], "name": name, "supercategory": title} for name, title in classes
    ]
    counts = {"images": 0, "boxes": 0, "masks": 0}
    with (
        streamed(out / "annotations.json") as file,
        streamed(out / "results.json") as results,
        tempfile.TemporaryFile() as annotations,
    ):
        file.write(b'{"info": {"description": "raypipe"}, "licenses": [], "images": [')
        results.write(b"[")
        for image in images:
            counts["images"] += 1
            _append(file, _image(image, counts["images"]), first=counts["images"] == 1)
            for found in image.detections:
                for record in _annotations(found, image):
                    counts["boxes"] += 1
                    counts["masks"] += "segmentation" in record
                    first = counts["boxes"] == 1
                    place = {"image_id": counts["images"], "category_id": numbers[found.name]}
                    kept = {"id": counts["boxes"], **place, **record, "iscrowd": 0}
                    _append(annotations, kept, first=first)
                    area = record.pop("area")
                    scored = place | record | {"score": found.score, "area": area}
                    _append(results, scored, first=first)
        results.write(b"]\n")
        file.write(b'], "annotations": [')
        annotations.seek(0)
        shutil.copyfileobj(annotations, file)
        file.write(b'], "categories": ' + json.dumps(categories).encode() + b"}\n")
    return counts


def _image(image: ExportImage, number: int) -> Record:
    return {
        "id": number,
        "file_name": image.image_id,
        "coco_url": image.uri,
        "width": image.width,
        "height": image.height,
    }


def _annotations(found: ExportDetection, image: ExportImage) -> Iterator[Record]:
    """Yield a record a box; each box has the part of the mask that lies in it."""
    for box in found.boxes.tolist():
        x0, y0, x1, y1 = box
        record: Record = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
        if found.counts is not None:
            counts, area = _inside(found.counts, image, box)
            if area:
                size = [image.height, image.width]
                record |= {"segmentation": {"size": size, "counts": counts.decode()}, "area": area}
        yield record


def _inside(counts: bytes, image: ExportImage, box: list[float]) -> tuple[bytes, int]:
    """Return the part of a mask in a box, and its pixels."""
    mask = rle.decode(counts, image.height, image.width)
    rows, cols = np.arange(image.height) + 0.5, np.arange(image.width) + 0.5
    mask &= ((rows > box[1]) & (rows < box[3]))[:, None] & ((cols > box[0]) & (cols < box[2]))
    return rle.encode(mask), int(mask.sum())


def _append(file: IO[bytes], record: Record, *, first: bool) -> None:
    file.write((b"\n" if first else b",\n") + json.dumps(record, ensure_ascii=False).encode())
