"""YOLO: a text file an image, `class x y width height`, centre and size as shares of the image."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence

from raypipe.cells import protected
from raypipe.export import media
from raypipe.export.names import stem
from raypipe.export.records import ExportImage
from raypipe.export.streams import streamed
from raypipe.storage.blob import read_blob
from raypipe.storage.location import Location


def write(
    images: Iterable[ExportImage],
    classes: Sequence[tuple[str, str]],
    out: Location,
    *,
    copy_images: bool = False,
) -> dict[str, int]:
    """Write `labels/`, `data.yaml` and `images.csv`.

    Tools look for `images/NAME.jpg` beside `labels/NAME.txt`: with `copy_images` they are there,
    without, `images.csv` says which image belongs to which name. An image without a box has an
    empty file, which says that there is nothing. Classes are numbered from 0; scores have no place.

    Args:
        images: The images.
        classes: Name of each class and its name for people.
        out: Folder to write.
        copy_images: Copy the images, too.

    Returns:
        Counts of images and boxes.

    Raises:
        InputError: If a file cannot be read or written.
    """
    numbers = {name: number for number, (name, _) in enumerate(classes)}
    counts = {"images": 0, "boxes": 0}
    with streamed(out / "images.csv") as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("name", "image_id", "uri"))
        for image in images:
            name = stem(image.image_id)
            lines = [
                f"{numbers[found.name]} {_line(box, image.width, image.height)}\n"
                for found in image.detections
                for box in found.boxes.tolist()
            ]
            (out / "labels" / f"{name}.txt").write_bytes("".join(lines).encode())
            if copy_images:
                content = read_blob(image.uri)
                (out / "images" / f"{name}{media.suffix(content)}").write_bytes(content)
            writer.writerow((protected(name), protected(image.image_id), protected(image.uri)))
            counts["images"] += 1
            counts["boxes"] += len(lines)
        text.detach()
    (out / "data.yaml").write_bytes(_yaml(classes).encode())
    return counts


def _line(box: list[float], width: int, height: int) -> str:
    x0, y0, x1, y1 = box
    shares = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height)
    return " ".join(f"{share:.8f}" for share in shares)


def _yaml(classes: Sequence[tuple[str, str]]) -> str:
    """Return the description; JSON's strings are YAML's, whatever a class is called."""
    lines = ["path: .", "train: images", "val: images", f"nc: {len(classes)}", "names:"]
    lines += [
        f"  {number}: {json.dumps(name, ensure_ascii=False)}"
        for number, (name, _) in enumerate(classes)
    ]
    return "\n".join(lines) + "\n"
