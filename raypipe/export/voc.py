"""PASCAL VOC: XML an image, and palette PNGs of the masks.

Corners are 1-based and the last pixel is included: `xmin = x0 + 1`, `xmax = x1`, rounded to whole
pixels, so that boxes of whole pixels come back as they were.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from PIL import Image

from raypipe import rle
from raypipe.errors import InputError
from raypipe.export import media
from raypipe.export.names import stem
from raypipe.export.records import ExportImage
from raypipe.export.streams import streamed
from raypipe.storage.blob import read_blob
from raypipe.storage.location import Location

_MOST = 254  # classes that a palette PNG can tell apart beside background and void


def write(
    images: Iterable[ExportImage],
    classes: Sequence[tuple[str, str]],
    out: Location,
    *,
    copy_images: bool = False,
) -> dict[str, int]:
    """Write `Annotations/`, `ImageSets/` and `labels.txt`; with masks `SegmentationClass/`.

    Args:
        images: The images.
        classes: Name of each class and its name for people; `labels.txt` lists them by the values
            of their pixels, background first.
        out: Folder to write.
        copy_images: Copy the images into `JPEGImages`, too.

    Returns:
        Counts of images, boxes and masks.

    Raises:
        InputError: If there are more classes than a mask has values, or a file cannot be read or
            written.
    """
    values = {name: number for number, (name, _) in enumerate(classes, 1)}
    counts = {"images": 0, "boxes": 0, "masks": 0}
    with (
        streamed(out / "ImageSets/Main/default.txt") as listed,
        streamed(out / "ImageSets/Segmentation/default.txt") as masked,
    ):
        for image in images:
            name = stem(image.image_id)
            file_name = f"{name}{PurePosixPath(image.image_id).suffix}"
            if copy_images:
                content = read_blob(image.uri)
                file_name = f"{name}{media.suffix(content)}"
                (out / "JPEGImages" / file_name).write_bytes(content)
            boxed, content = _annotation(image, file_name)
            (out / "Annotations" / f"{name}.xml").write_bytes(content)
            listed.write(f"{name}\n".encode())
            counts["images"] += 1
            counts["boxes"] += boxed
            if any(found.counts is not None for found in image.detections):
                (out / "SegmentationClass" / f"{name}.png").write_bytes(_mask(image, values))
                masked.write(f"{name}\n".encode())
                counts["masks"] += 1
    names = ["background", *values]
    (out / "labels.txt").write_bytes(("\n".join(names) + "\n").encode())
    return counts


def _annotation(image: ExportImage, file_name: str) -> tuple[int, bytes]:
    """Return the number of boxes, and the ElementTree."""
    root = ElementTree.Element("annotation")
    _add(root, "folder", "JPEGImages")
    _add(root, "filename", file_name)
    _add(_add(root, "source"), "image", image.uri)
    size = _add(root, "size")
    for name, value in (("width", image.width), ("height", image.height), ("depth", 3)):
        _add(size, name, str(value))
    _add(root, "segmented", str(int(any(item.counts is not None for item in image.detections))))
    boxes = 0
    for found in image.detections:
        for box in found.boxes.tolist():
            boxes += 1
            item = _add(root, "object")
            _add(item, "name", found.name)
            _add(item, "pose", "Unspecified")
            edge = box[0] <= 0 or box[1] <= 0 or box[2] >= image.width or box[3] >= image.height
            _add(item, "truncated", str(int(edge)))
            _add(item, "difficult", "0")
            place = _add(item, "bndbox")
            corners = (box[0] + 1, box[1] + 1, box[2], box[3])
            for name, corner in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
                _add(place, name, str(int(np.floor(corner + 0.5))))
    ElementTree.indent(root)
    return boxes, ElementTree.tostring(root, encoding="utf-8")


def _add(parent: ElementTree.Element, name: str, text: str = "") -> ElementTree.Element:
    child = ElementTree.SubElement(parent, name)
    if text:
        child.text = text
    return child


def _mask(image: ExportImage, values: dict[str, int]) -> bytes:
    """Return the palette PNG; where masks overlap, the class of the highest score is on top."""
    if len(values) > _MOST:
        raise InputError(
            f"{len(values)} classes: a palette PNG has values for {_MOST}",
            "export without --masks, or as COCO",
        )
    pixels = np.zeros((image.height, image.width), np.uint8)
    for found in sorted(image.detections, key=lambda item: item.score):
        if found.counts is not None:
            pixels[rle.decode(found.counts, image.height, image.width)] = values[found.name]
    picture = Image.fromarray(pixels, mode="P")
    picture.putpalette(_palette().tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _palette() -> npt.NDArray[np.uint8]:
    """Return VOC's colours, (256, 3) uint8: bits of the value, spread over the channels."""
    values = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((values >> (3 * bit + channel)) & 1).astype(np.uint8) << (
                7 - bit
            )
    return colours
