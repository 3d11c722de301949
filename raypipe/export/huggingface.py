"""Hugging Face: Parquet shards with an `objects` column, typed by metadata that `datasets` reads.

Boxes are x, y, width, height in pixels, as in COCO; categories are numbers of a `ClassLabel`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from raypipe.export.records import ExportImage
from raypipe.storage.blob import read_blob
from raypipe.storage.location import Location

ROWS = 1000
"""Images of a file without their bytes; with them, a tenth."""

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_OBJECTS = pa.struct(
    [
        ("bbox", pa.list_(pa.list_(pa.float32(), 4))),
        ("category", pa.list_(pa.int64())),
        ("area", pa.list_(pa.float32())),
        ("score", pa.list_(pa.float32())),
    ]
)


def write(
    images: Iterable[ExportImage],
    classes: Sequence[tuple[str, str]],
    out: Location,
    *,
    copy_images: bool = False,
) -> dict[str, int]:
    """Write `data/train-00000.parquet` and so on.

    Args:
        images: The images, one a row.
        classes: Name of each class and its name for people.
        out: Folder to write.
        copy_images: Put the images' bytes into the column `image`; else it holds where they lie.

    Returns:
        Counts of images, boxes and files.

    Raises:
        InputError: If a file cannot be read or written.
    """
    numbers = {name: number for number, (name, _) in enumerate(classes)}
    schema = _schema([name for name, _ in classes])
    counts = {"images": 0, "boxes": 0, "files": 0}
    for batch in _batches(images, ROWS // 10 if copy_images else ROWS):
        rows = [_row(image, numbers, copy_images=copy_images) for image in batch]
        place = out / "data" / f"train-{counts['files']:05d}.parquet"
        place.write_table(pa.Table.from_pylist(rows, schema=schema))
        counts["files"] += 1
        counts["images"] += len(rows)
        counts["boxes"] += sum(len(row["objects"]["category"]) for row in rows)
    return counts


def _row(image: ExportImage, numbers: dict[str, int], *, copy_images: bool) -> dict[str, Any]:
    found = [(item, box) for item in image.detections for box in item.boxes.tolist()]
    content = bytes(read_blob(image.uri)) if copy_images else None
    return {
        "image": {"bytes": content, "path": image.image_id if copy_images else image.uri},
        "image_id": image.image_id,
        "width": image.width,
        "height": image.height,
        "objects": {
            "bbox": [[x0, y0, x1 - x0, y1 - y0] for _, (x0, y0, x1, y1) in found],
            "category": [numbers[item.name] for item, _ in found],
            "area": [(x1 - x0) * (y1 - y0) for _, (x0, y0, x1, y1) in found],
            "score": [item.score for item, _ in found],
        },
    }


def _schema(names: list[str]) -> pa.Schema:
    """Return the columns, with the features as `datasets` writes them into the metadata."""
    value = {"_type": "Value"}
    numbers = {"_type": "List", "feature": value | {"dtype": "float32"}}
    features = {
        "image": {"_type": "Image"},
        "image_id": value | {"dtype": "string"},
        "width": value | {"dtype": "int32"},
        "height": value | {"dtype": "int32"},
        "objects": {
            "bbox": {"_type": "List", "feature": numbers | {"length": 4}},
            "category": {"_type": "List", "feature": {"_type": "ClassLabel", "names": names}},
            "area": numbers,
            "score": numbers,
        },
    }
    columns = pa.schema(
        [
            ("image", _IMAGE), ("image_id", pa.string()), ("width", pa.int32()),
            ("height", pa.int32()), ("objects", _OBJECTS),
        ]
    )  # fmt: skip
    return columns.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def _batches(images: Iterable[ExportImage], size: int) -> Iterator[list[ExportImage]]:
    left = iter(images)
    while batch := list(islice(left, size)):
        yield batch
