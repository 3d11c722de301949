"""Label Studio: tasks with predictions, to be looked at and corrected there.

Boxes are in percent of the image, masks in Label Studio's own run lengths.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from raypipe import rle
from raypipe.errors import UsageError
from raypipe.export import brush, media
from raypipe.export.records import ExportDetection, ExportImage
from raypipe.storage.jsonlists import write_lists
from raypipe.storage.location import Location

CONFIG = "config.xml"
_MANY = 20  # classes, from which on they can be searched

Result = dict[str, Any]


def write(
    images: Iterable[ExportImage],
    classes: Sequence[tuple[str, str]],
    out: Location,
    *,
    root: str = "/",
    copy_images: bool = False,
    model_version: str = "raypipe",
) -> dict[str, int]:
    """Write tasks and the labelling configuration.

    Args:
        images: The images, one a task.
        classes: Name of each class and its name for people.
        out: Folder; `config.xml`, `tasks-00000.json` and so on are written.
        root: The folder that Label Studio serves as local files; images on disk lie below it.
        copy_images: Copy the images into the folder `images` of the export.
        model_version: What Label Studio calls the predictions.

    Returns:
        Counts of images, boxes, masks and files.

    Raises:
        UsageError: If an image is not below the root.
        InputError: If an image cannot be reached by Label Studio, or a file cannot be written.
    """
    counts = {"images": 0, "boxes": 0, "masks": 0}

    def tasks() -> Iterator[dict[str, Any]]:
        for place, image in enumerate(images):
            if copy_images:
                copied = media.copy(image, place, out / "images")
                url = image_url(image, str(out / "images" / copied), root)
            else:
                url = image_url(image, image.uri, root)
            results = list(_results(image))
            counts["images"] += 1
            for result in results:
                counts["boxes" if result["from_name"] == "box" else "masks"] += 1
            yield task(image, url, results, model_version)

    files = write_lists(tasks(), out, "tasks")
    text = config(classes, masks=counts["masks"] > 0)
    (out / CONFIG).write_bytes(text.encode())
    return counts | {"files": files}


def config(classes: Sequence[tuple[str, str]], *, masks: bool) -> str:
    """Return the labelling configuration, XML.

    Args:
        classes: Name of each class and its name for people.
        masks: Whether there are masks, drawn with a brush.
    """
    labels = "\n".join(
        f"    <Label value={quoteattr(name)}"
        + (f" hint={quoteattr(title)}" if title and title != name else "")
        + "/>"
        for name, title in classes
    )
    lines = ["<View>"]
    for name, tag in (("box", "RectangleLabels"), ("mask", "BrushLabels"))[: 1 + masks]:
        if len(classes) > _MANY:
            lines.append(f'  <Filter name="find_{name}" toName="{name}" minlength="0"/>')
        lines += [f'  <{tag} name="{name}" toName="image">', labels, f"  </{tag}>"]
    lines += ['  <Image name="image" value="$image" zoom="true"/>', "</View>", ""]
    return "\n".join(lines)


def task(image: ExportImage, url: str, results: list[Result], model_version: str) -> dict[str, Any]:
    """Return one task with its prediction; an image without a detection has none."""
    found = {"data": {"image": url, "image_id": image.image_id}}
    if not results:
        return found
    best = max(result["score"] for result in results)
    prediction = {"model_version": model_version, "score": best, "result": results}
    return found | {"predictions": [prediction]}


def image_url(image: ExportImage, uri: str, root: str) -> str:
    """Return the URL under which Label Studio shows an image.

    Args:
        image: The image, for the errors.
        uri: Where it, or its copy, lies.
        root: The folder that Label Studio serves as local files.

    Raises:
        UsageError: If it lies on disk, but not below the root.
        InputError: If it is a part of a file.
    """
    if media.packed(uri):
        raise media.unreachable(image, "Label Studio")
    path = media.local_path(uri)
    if path is None:
        return media.remote_uri(uri)
    top = PurePosixPath(Location.of(root).path)
    if not PurePosixPath(path).is_relative_to(top):
        raise UsageError(
            f"--local-root {root}: image {path} is not below it",
            "give the folder that Label Studio has as LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT",
        )
    return f"/data/local-files/?d={quote(str(PurePosixPath(path).relative_to(top)))}"


def _results(image: ExportImage) -> Iterator[Result]:
    """Yield the boxes of an image, each class's mask behind its boxes."""
    for number, detection in enumerate(image.detections):
        common = {
            "to_name": "image", "original_width": image.width, "original_height": image.height,
            "image_rotation": 0, "score": _share(detection),
        }  # fmt: skip
        for place, (x0, y0, x1, y1) in enumerate(detection.boxes.tolist()):
            value = {
                "x": 100 * x0 / image.width, "y": 100 * y0 / image.height,
                "width": 100 * (x1 - x0) / image.width, "height": 100 * (y1 - y0) / image.height,
                "rotation": 0, "rectanglelabels": [detection.name],
            }  # fmt: skip
            yield common | {
                "id": f"box-{number}-{place}", "type": "rectanglelabels", "from_name": "box",
                "value": value,
            }  # fmt: skip
        if detection.counts is not None:
            mask = rle.decode(detection.counts, image.height, image.width)
            if mask.any():
                runs = brush.encode(mask)
                yield common | {
                    "id": f"mask-{number}", "type": "brushlabels", "from_name": "mask",
                    "value": {"format": "rle", "rle": runs, "brushlabels": [detection.name]},
                }  # fmt: skip


def _share(detection: ExportDetection) -> float:
    """Return a score as Label Studio wants it, 0..1: the logistic function of the network's."""
    return 1 / (1 + math.exp(-max(min(detection.score, 500.0), -500.0)))
