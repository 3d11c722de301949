"""CSV: one row a box, with the corners as raypipe has them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from raypipe.cells import protected
from raypipe.export.records import ExportImage
from raypipe.export.streams import streamed
from raypipe.storage.location import Location

COLUMNS = ("image_id", "uri", "width", "height", "class", "title", "x0", "y0", "x1", "y1", "score")


def write(
    images: Iterable[ExportImage], classes: Sequence[tuple[str, str]], out: Location
) -> dict[str, int]:
    """Write `boxes.csv`: UTF-8, corners in pixels, end exclusive, the largest component first.

    Cells that a spreadsheet would run as a formula are protected by an apostrophe, as in the
    labels' CSV. A detection without a box has a row with empty corners: nothing is lost.

    Args:
        images: The images.
        classes: Name of each class and its name for people.
        out: Folder to write.

    Returns:
        Counts of images and boxes.

    Raises:
        InputError: If it cannot be written.
    """
    titles = dict(classes)
    counts = {"images": 0, "boxes": 0}
    with streamed(out / "boxes.csv") as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for image in images:
            counts["images"] += 1
            about = [protected(image.image_id), protected(image.uri), image.width, image.height]
            for found in image.detections:
                named = [protected(found.name), protected(titles.get(found.name, ""))]
                counts["boxes"] += len(found.boxes)
                for box in found.boxes.tolist() or [[""] * 4]:
                    writer.writerow([*about, *named, *box, found.score])
        text.detach()
    return counts
