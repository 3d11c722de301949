"""A small run of four images and two classes, with boxes, masks and detections made by hand."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raypipe.config import RefineConfig
from raypipe.storage.parts import Parts
from raypipe.storage.run import Plan, Run
from raypipe.tables import DETECTIONS
from tests.indexed import write_index

WIDTH, HEIGHT = 40, 20
BOAT, DOG = "boat", "<script>dog"
LEFT, RIGHT, ALL = (0, 0, 20, 20), (20, 0, 40, 20), (0, 0, 40, 20)


def grid_of(box):
    """Return the map of 2 x 4 cells that is 1 inside a box and 0 outside."""
    x0, y0, x1, y1 = (side // 10 for side in box)
    grid = np.zeros((2, 4), np.float16)
    grid[y0:y1, x0:x1] = 1
    return grid


def detection(image_id, name, rule, box, *, fallback=False):
    return {
        "image_id": image_id, "class": name, "rule": rule,
        "width": WIDTH, "height": HEIGHT, "grid_width": 4, "grid_height": 2,
        "map": grid_of(box).ravel(), "boxes": [corners(box)] if any(box) else [],
        "score": 0.9, "rank": 1, "fallback": fallback, "guessed": 0.0,
    }  # fmt: skip


def corners(box):
    return dict(zip(("x0", "y0", "x1", "y1"), map(float, box), strict=True))


@dataclass
class Scene:
    """What the run holds, in the rows of its tables; a test changes it before it writes it."""

    run: Run
    images: list[dict[str, Any]]
    classes: list[dict[str, Any]]
    boxes: list[dict[str, Any]]
    detections: dict[str, list[dict[str, Any]]]
    details: dict[str, Any]

    def write(self):
        index = write_index(self.run, "val", self.images, self.classes, self.boxes)
        plan = Plan("refine/val", RefineConfig().identity(), {"index": index.identity})
        for shard, rows in self.detections.items():
            Parts(self.run, plan, "detections").place(shard).write_table(DETECTIONS.build(rows))
        self.run.finish(plan, {}, self.details)


@pytest.fixture(name="detection")
def detection_maker():
    return detection


@pytest.fixture
def scene(tmp_path):
    """Return a scene in which refining repairs `one`, harms `two` and never saw `four`.

    Boats have boxes, all on the left half; `one` has a mask too, its lower right corner void.
    The dog in `three` has neither: nothing to judge it by.
    """
    uris = {}
    for image_id in ("one", "two", "three", "four"):
        uris[image_id] = str(tmp_path / f"{image_id}.png")
        Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 60)).save(uris[image_id])
    truth = np.zeros((HEIGHT, WIDTH), np.uint8)
    truth[:, :20] = 1
    truth[10:, 20:] = 255
    Image.fromarray(truth).save(tmp_path / "mask.png")
    shards = {"one": "000000-a", "two": "000000-a", "three": "000001-b", "four": "000002-c"}
    names = {"one": [BOAT], "two": [BOAT, DOG], "three": [DOG], "four": [BOAT]}
    return Scene(
        Run.at(str(tmp_path / "run")),
        [
            {
                "image_id": image_id,
                "uri": uri,
                "classes": names[image_id],
                "ordinals": [0] * len(names[image_id]),
                "mask_uri": str(tmp_path / "mask.png") if image_id == "one" else None,
                "shard": shards[image_id],
            }
            for image_id, uri in uris.items()
        ],
        [
            {"class": BOAT, "title": BOAT, "images": 3, "network_index": None, "mask_value": 1},
            {"class": DOG, "title": DOG, "images": 2, "network_index": None, "mask_value": None},
        ],
        [
            {"image_id": image_id, "class": name, **corners(LEFT), "difficult": image_id == "two"}
            for image_id, name in (("one", BOAT), ("two", BOAT), ("two", DOG), ("four", BOAT))
        ],
        {
            "000000-a": [
                detection("one", BOAT, "plain", ALL),
                detection("one", BOAT, "classify", LEFT),
                detection("two", BOAT, "plain", LEFT),
                detection("two", BOAT, "classify", RIGHT),
                detection("two", DOG, "plain", LEFT),
                detection("two", DOG, "classify", LEFT, fallback=True),
            ],
            "000001-b": [
                detection("three", DOG, "plain", ALL),
                detection("three", DOG, "classify", ALL, fallback=True),
            ],
        },
        {"rules": ["classify"], "questions": {BOAT: 3}},
    )
