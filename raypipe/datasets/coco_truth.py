"""COCO's annotation JSON.

Boxes are x, y, width, height from pixel 0, not rounded; masks are polygons or run lengths, plain or
compressed. A crowd (`iscrowd`) is a region in which objects were not told apart: its pixels are
void, and it is no box to be found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from pycocotools import mask as coco

from raypipe.datasets.truth_rows import Annotated
from raypipe.errors import InputError
from raypipe.storage.location import Location

Record = dict[str, Any]


def read(place: Location) -> Iterator[Annotated]:
    """Yield the annotations of a file.

    Raises:
        InputError: If it is no such file; naming the annotation where one cannot be read.
    """
    content = _content(place)
    try:
        images = {item["id"]: item for item in content["images"]}
        names = {item["id"]: str(item["name"]) for item in content["categories"]}
        annotations = content["annotations"]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{place}: not COCO's annotations, images, annotations or categories lack {error}",
            "an image has id and file_name, a category id and name",
        ) from None
    for number, item in enumerate(annotations):
        try:
            yield _annotated(item, images, names)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            about = item.get("id", f"number {number}") if isinstance(item, dict) else number
            raise InputError(
                f"{place}: annotation {about} cannot be read ({type(error).__name__}: {error})",
                "it needs image_id, category_id and bbox or segmentation",
            ) from None


def _content(place: Location) -> Record:
    try:
        content = json.loads(place.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{place}: not JSON ({error})", "name a COCO JSON file") from None
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= set(content):
        raise InputError(
            f"{place}: not COCO's annotations", "it needs images, annotations and categories"
        )
    return content


def _annotated(item: Record, images: dict[int, Record], names: dict[int, str]) -> Annotated:
    image = images[item["image_id"]]
    size = (int(image["width"]), int(image["height"])) if "width" in image else None
    crowd = bool(item.get("iscrowd", 0))
    counts = _counts(item.get("segmentation"), size)
    box = item.get("bbox")
    if box is None and counts is not None and size is not None:
        box = coco.toBbox({"size": size[::-1], "counts": counts}).tolist()
    if box is None and counts is None:
        raise ValueError("neither bbox nor segmentation")
    if box is not None:
        x, y, width, height = (float(value) for value in box)
        if not np.isfinite([x, y, width, height]).all():
            raise ValueError(f"bbox {box}")
        box = (x, y, x + width, y + height)
    return Annotated(
        str(image["file_name"]), names[item["category_id"]], None if crowd else box, counts,
        size=size, void=crowd,
    )  # fmt: skip


def _counts(segmentation: object, size: tuple[int, int] | None) -> bytes | None:
    """Return a segmentation of any kind as compressed run lengths, or None without one."""
    if not segmentation:
        return None
    if size is None:
        raise ValueError("a segmentation, but its image has no width and height")
    width, height = size
    if isinstance(segmentation, list):
        made = coco.merge(coco.frPyObjects(segmentation, height, width))
    elif not isinstance(segmentation, dict):
        raise TypeError("a segmentation is a list or an object")
    else:
        if list(segmentation["size"]) != [height, width]:
            raise ValueError(f"run lengths of size {segmentation['size']} in an image of "
                             f"{height} rows of {width}")  # fmt: skip
        counts = segmentation["counts"]
        if isinstance(counts, str):
            return counts.encode("ascii")
        made = coco.frPyObjects(segmentation, height, width)
    return bytes(made["counts"])
