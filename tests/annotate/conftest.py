"""A small clustered run, written table by table, with real images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raypipe.storage.parts import Parts
from raypipe.storage.run import Plan, Run
from raypipe.tables import MAPS
from tests.clustered import Clustered, write_clusters
from tests.indexed import write_index

GRID = (8, 6)  # across, down
SIZE = (80, 60)


@dataclass
class World:
    """What a run is made of: regions by class, as (cluster, image, row, column, typicality).

    `groups` gives the group of clusters, and so makes the run one of scope `all`.
    """

    folder: Path
    regions: dict[str, list[tuple[int, str, int, int, float]]]
    groups: dict[tuple[str, int], int] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    boxes: list[tuple[str, str, float, float, float, float]] = field(default_factory=list)
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)

    def run(self) -> Run:
        run = Run.at(str(self.folder / "run"))
        images = sorted({row[1] for rows in self.regions.values() for row in rows})
        self._write_index(run, images)
        self._write_extract(run, images)
        self.write_clusters(run)
        return run

    def _write_index(self, run: Run, images: list[str]) -> None:
        rows = []
        for place, image in enumerate(images):
            path = self.folder / f"{image}.png"
            colour = (40 + 7 * place % 200, 90, 160)
            Image.new("RGB", SIZE, colour).save(path)
            if image in self.broken:
                path.write_bytes(b"not an image")
            mask = None
            if image in self.masks:
                mask = str(self.folder / f"{image}.mask.png")
                Image.fromarray(self.masks[image]).save(mask)
            rows.append({"image_id": image, "uri": str(path), "classes": [], "ordinals": [],
                         "mask_uri": mask, "shard": "s"})  # fmt: skip
        classes = [
            {"class": name, "title": self.titles.get(name, ""), "images": len(images),
             "network_index": None, "mask_value": place}
            for place, name in enumerate(self.regions, 1)
        ]  # fmt: skip
        names = ("image_id", "class", "x0", "y0", "x1", "y1")
        boxes = [dict(zip(names, box, strict=True)) | {"difficult": False} for box in self.boxes]
        write_index(run, "train", rows, classes, boxes)

    def _write_extract(self, run: Run, images: list[str]) -> None:
        plan = Plan("extract", {}, {})
        rows = [
            {"image_id": image, "class": "any", "width": SIZE[0], "height": SIZE[1],
             "grid_width": GRID[0], "grid_height": GRID[1], "map": [0.0] * 48,
             "peak": 1.0, "score": 1.0}
            for image in images
        ]  # fmt: skip
        Parts(run, plan, "maps").place("s").write_table(MAPS.build(rows))
        run.finish(plan, {}, {"index_set": "train"})

    def write_clusters(self, run: Run) -> None:
        classes = {
            name: Clustered(rows, groups={
                number: group for (owner, number), group in self.groups.items() if owner == name
            })
            for name, rows in self.regions.items()
        }  # fmt: skip
        write_clusters(run, classes)


MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(tmp_path: Path) -> MakeWorld:
    def make(regions: dict[str, list[tuple[int, str, int, int, float]]], **more: Any) -> World:
        return World(tmp_path, regions, **more)

    return make


def two_clusters(images: int = 3) -> list[tuple[int, str, int, int, float]]:
    """Cluster 1 in the left column of the grid, cluster 2 in the right one."""
    return [
        (number, f"image{place}", row, col, 1.0 - place / 100)
        for number, col in ((1, 0), (2, GRID[0] - 1))
        for place in range(images)
        for row in (1, 3)
    ]


@pytest.fixture(name="two_clusters")
def _two_clusters() -> Callable[..., list[tuple[int, str, int, int, float]]]:
    return two_clusters


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world({"cat": two_clusters(), "dog": two_clusters()})


@pytest.fixture
def run(world: World) -> Run:
    return world.run()


@pytest.fixture
def shared(make_world: MakeWorld) -> World:
    """Three classes; group 1 holds the clusters in the left column, group 2 those in the right."""
    names = ("cat", "dog", "cow")
    groups = {(name, number): number for name in names for number in (1, 2)}
    return make_world({name: two_clusters() for name in names}, groups=groups)
