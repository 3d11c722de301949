"""Images with detections, and names that are hard on formats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from raypipe import rle
from raypipe.export.records import ExportDetection, ExportImage

NASTY = "A&B \"<naïve>\"/ボート, 'x'"
CLASSES = [("cat", "house cat"), (NASTY, ""), ("n01440764", 'tench, "Tinca" & co')]
SIZES = [(80, 60), (61, 47), (33, 90)]


def ellipse(width: int, height: int, box: tuple[float, float, float, float]) -> np.ndarray:
    """A mask that fills a box roundly, holes included."""
    ys, xs = np.mgrid[:height, :width] + 0.5
    x0, y0, x1, y1 = box
    across, down = (x1 - x0) / 2, (y1 - y0) / 2
    far = ((xs - x0 - across) / across) ** 2 + ((ys - y0 - down) / down) ** 2
    return (far <= 1) & (far > 0.1)


def detection(
    name: str, width: int, height: int, boxes: list[tuple[float, float, float, float]],
    score: float, *, masked: bool = True,
) -> ExportDetection:  # fmt: skip
    rng = np.random.default_rng(len(name))
    mask = np.zeros((height, width), bool)
    for box in boxes:
        mask |= ellipse(width, height, box)
    return ExportDetection(
        name,
        np.array(boxes, np.float64).reshape(-1, 4),
        score,
        rle.encode(mask) if masked else None,
        rng.random((6, 8), np.float32),
    )


def some_images(folder: Path, *, masked: bool = True) -> list[ExportImage]:
    """Two classes in one image, none in another, names with slashes, quotes and more."""
    places = ["a/b c.png", "naïve/ボート #1 100%.png", "x&y's.png"]
    images = []
    for number, (place, (width, height)) in enumerate(zip(places, SIZES, strict=True)):
        path = folder / "images" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height), (10, 90, 200 + number)).save(path)
        found: list[ExportDetection] = []
        if number == 0:
            boxes = [(3.0, 4.0, 40.0, 33.0), (50.0, 10.0, 80.0, 60.0)]
            found.append(detection("cat", width, height, boxes, 1.5, masked=masked))
            found.append(detection(NASTY, width, height, [(0, 0, 9.5, 7.25)], 3.0, masked=masked))
        if number == 1:
            found.append(detection("n01440764", width, height, [(0, 0, 61, 47)], -2.0))
            found.append(detection("cat", width, height, [], 0.5, masked=False))
        images.append(ExportImage(f"{place}\"'", str(path), width, height, tuple(found)))
    return images


def boxes_of(images: list[ExportImage]) -> Iterator[tuple[str, str, list[float]]]:
    """Yield image, class and box of everything."""
    for image in images:
        for found in image.detections:
            for box in found.boxes.tolist():
                yield image.image_id, found.name, box
