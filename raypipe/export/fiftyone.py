"""FiftyOne: its dataset format on disk, with detections, heat maps and masks.

`metadata.json` describes the fields, `samples.json` holds a document an image, `fields/` the heat
maps. The form is that of FiftyOne's own exporter (`fiftyone.utils.data.exporters`,
`FiftyOneDatasetExporter`), its documents in MongoDB's extended JSON; FiftyOne is not needed.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from raypipe import rle
from raypipe.export import fiftyone_fields, media
from raypipe.export.records import ExportDetection, ExportImage
from raypipe.export.streams import streamed
from raypipe.storage.location import Location

Document = dict[str, Any]
Mask = npt.NDArray[np.bool_]


def write(
    images: Iterable[ExportImage],
    classes: Sequence[tuple[str, str]],
    out: Location,
    *,
    copy_images: bool = False,
) -> dict[str, int]:
    """Write a dataset that `fiftyone.Dataset.from_dir` reads.

    Args:
        images: The images, one a sample.
        classes: Name of each class and its name for people.
        out: Folder to write.
        copy_images: Copy the images into the folder `data`; else they must be files on disk.

    Returns:
        Counts of images, boxes, masks and heat maps.

    Raises:
        InputError: If an image is no file on disk, or a file cannot be written.
    """
    counts = {"images": 0, "boxes": 0, "masks": 0, "maps": 0}
    most = 1  # heat maps of an image
    with streamed(out / "samples.json") as file:
        file.write(b'{"samples": [')
        for place, image in enumerate(images):
            sample = _sample(image, _filepath(image, place, out, copy_images=copy_images))
            ranked = sorted(image.detections, key=lambda item: -item.score)  # stable
            for rank, detection in enumerate(ranked, 1):
                field = fiftyone_fields.heatmap_name(rank)
                sample[field] = _heatmap(image, detection, place, field, out)
            boxes = sample["detections"]["detections"]
            counts["images"] += 1
            counts["boxes"] += len(boxes)
            counts["masks"] += sum("mask" in box for box in boxes)
            counts["maps"] += len(ranked)
            most = max(most, len(ranked))
            file.write(b",\n" if place else b"\n")
            file.write(json.dumps(sample, ensure_ascii=False).encode())
        file.write(b"\n]}\n")
    metadata = fiftyone_fields.metadata(classes, most)
    (out / "metadata.json").write_bytes(json.dumps(metadata, ensure_ascii=False).encode())
    return counts


def _filepath(image: ExportImage, place: int, out: Location, *, copy_images: bool) -> str:
    if copy_images:
        return f"data/{media.copy(image, place, out / 'data')}"
    path = media.local_path(image.uri)
    if path is None:
        raise media.unreachable(image, "FiftyOne")
    return path


def _sample(image: ExportImage, filepath: str) -> Document:
    own = _digest(image.image_id)
    boxes = [
        box
        for detection in image.detections
        for box in _detections(image, detection)
    ]  # fmt: skip
    return {
        "_id": _id(image.image_id),
        "filepath": filepath,
        "tags": [],
        "metadata": {"_cls": "ImageMetadata", "width": image.width, "height": image.height},
        "_media_type": "image",
        "_rand": int.from_bytes(own[-6:], "big") / 2**48,
        "image_id": image.image_id,
        "detections": {"_cls": "Detections", "detections": boxes},
    }


def _detections(image: ExportImage, detection: ExportDetection) -> list[Document]:
    """Return the documents of a class's boxes: x, y, width and height in shares of the image."""
    mask = None
    if detection.counts is not None:
        mask = rle.decode(detection.counts, image.height, image.width)
    documents = []
    for place, (x0, y0, x1, y1) in enumerate(detection.boxes.tolist()):
        box = [
            x0 / image.width, y0 / image.height, (x1 - x0) / image.width, (y1 - y0) / image.height
        ]  # fmt: skip
        document = {
            "_id": _id(image.image_id, detection.name, str(place)), "_cls": "Detection",
            "attributes": {}, "tags": [], "label": detection.name, "bounding_box": box,
            "confidence": detection.score,
        }  # fmt: skip
        if mask is not None:
            inside = mask[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))]
            if inside.any():  # FiftyOne's masks are cut to the box
                document["mask"] = _array(inside)
        documents.append(document)
    return documents


def _heatmap(
    image: ExportImage, detection: ExportDetection, place: int, field: str, out: Location
) -> Document:
    """Write a map as an 8-bit PNG, a pixel a cell, and return its document."""
    levels = np.round(255 * np.clip(detection.map.astype(np.float32), 0, 1)).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(levels).save(content, "PNG")
    path = f"fields/{field}/{media.numbered(place, '.png')}"
    (out / path).write_bytes(content.getvalue())
    return {
        "_id": _id(image.image_id, detection.name, "map"), "_cls": "Heatmap", "tags": [],
        "map_path": path, "range": [0.0, 255.0], "label": detection.name,
    }  # fmt: skip


def _array(mask: Mask) -> Document:
    """Return an array as FiftyOne keeps it: NumPy's format, compressed."""
    content = io.BytesIO()
    np.save(content, mask, allow_pickle=False)
    packed = base64.b64encode(zlib.compress(content.getvalue())).decode()
    return {"$binary": {"base64": packed, "subType": "00"}}


def _id(*names: str) -> Document:
    """Return an object's id, 12 bytes that follow from what it is: an export can be repeated."""
    return {"$oid": _digest(*names)[:12].hex()}


def _digest(*names: str) -> bytes:
    return hashlib.sha256(json.dumps(names).encode()).digest()
