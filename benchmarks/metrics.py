"""Metrics: seconds and peak memory of `raypipe evaluate`, for ever more images, 1 and 2 workers.

python benchmarks/metrics.py                                     10,000 images, 1 and 2 workers
python benchmarks/metrics.py --images 100000 --workers 2
python benchmarks/metrics.py --images 100000 --workers 2 --no-masks    boxes only, as ILSVRC

Every image has a map of 14 x 14 cells, given as another method's, a true box and, unless left out,
a true mask of 500 x 375 pixels. Maps are smooth, of one to four blobs, or noisy with --rough: the
more contours a map has, the longer MaxBoxAcc takes. Memory is that of the driver and of the largest
worker. The reports of all workers must be equal.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.options import numbers
from raypipe.columns import box_cell, list_column
from raypipe.storage.parts import Parts
from raypipe.storage.run import Plan, Run
from raypipe.tables import BOXES, CLASSES, IMAGES, SHARDS

_SHARD, _PART, _CLASSES, _GRID = 128, 64, 100, 14
_WIDTH, _HEIGHT, _MASKS = 500, 375, 50
_SHOWN = ("corloc", "max_box_acc", "max_box_acc_v2", "pxap", "miou")
_LOOK = 0.5  # seconds between two looks at the memory


def write_run(root: Path, images: int, *, masks: bool, rough: bool) -> Run:
    """Write an index of drawn boxes and masks, and maps of their objects in Parquet."""
    run, plan = Run.at(str(root / "run")), Plan("index/val", {}, {})
    generator = np.random.default_rng(0)
    names = [f"n{number:08d}" for number in range(_CLASSES)]
    run.write(
        CLASSES,
        CLASSES.build(
            [
                {"class": name, "title": name, "images": images // _CLASSES, "mask_value": at + 1}
                for at, name in enumerate(names)
            ]
        ),
        "index", "val", "classes.parquet",
    )  # fmt: skip
    shards = []
    (root / "maps").mkdir()
    for part, first in enumerate(range(0, images, _SHARD * _PART)):
        rows, boxes, tables = range(first, min(first + _SHARD * _PART, images)), [], []
        maps = []
        for start in range(rows.start, rows.stop, _SHARD):
            shard, listed = f"{start // _SHARD:06d}", []
            for at in range(start, min(start + _SHARD, rows.stop)):
                kind = at * _CLASSES // images  # class after class, as an index is sorted
                box = _box(generator)
                maps.append(_map(generator, box, rough=rough))
                mask = _mask(root, kind, at % _MASKS) if masks else None
                image_id = f"val/{at:08d}"
                listed.append({"image_id": image_id, "uri": f"{image_id}.jpg",
                               "classes": [names[kind]], "ordinals": [at], "mask_uri": mask,
                               "shard": shard})  # fmt: skip
                sides = box_cell(box.tolist())
                about = {"image_id": image_id, "class": names[kind], "difficult": False}
                boxes.append(about | sides)
            tables.append(IMAGES.build(listed))
            shards.append({"shard": shard, "part": f"{part:05d}", "images": len(listed)})
        Parts(run, plan, IMAGES.name).place(f"{part:05d}").write_tables(tables)
        Parts(run, plan, BOXES.name).place(f"{part:05d}").write_table(BOXES.build(boxes))
        _write_maps(root / "maps" / f"{part:05d}.parquet", pa.concat_tables(tables), maps)
    run.write(SHARDS, SHARDS.build(shards), "index", "val", "shards.parquet")
    run.finish(plan, {"images": images, "boxes": images, "masks": images if masks else 0})
    return run


def _box(generator: np.random.Generator) -> npt.NDArray[np.float64]:
    low = generator.uniform(0, 0.6, 2)
    high = np.minimum(low + generator.uniform(0.2, 0.6, 2), 1.0)
    box: npt.NDArray[np.float64] = np.concatenate([low, high]) * np.array((_WIDTH, _HEIGHT) * 2)
    return np.rint(box)


def _map(
    generator: np.random.Generator, box: npt.NDArray[np.float64], *, rough: bool
) -> npt.NDArray[np.float32]:
    """Draw a blob on the box, and up to three elsewhere."""
    rows, cols = (np.mgrid[:_GRID, :_GRID] + 0.5) / _GRID
    middle = (box[:2] + box[2:]) / 2 / np.array((_WIDTH, _HEIGHT))
    half = (box[2:] - box[:2]) / 4 / np.array((_WIDTH, _HEIGHT))
    drawn = np.exp(-(((cols - middle[0]) / half[0]) ** 2 + ((rows - middle[1]) / half[1]) ** 2) / 2)
    for _ in range(generator.integers(0, 4)):
        x, y, size = generator.uniform(0, 1), generator.uniform(0, 1), generator.uniform(0.08, 0.2)
        drawn += generator.uniform(0.2, 0.8) * np.exp(
            -((cols - x) ** 2 + (rows - y) ** 2) / (2 * size**2)
        )
    if rough:
        drawn += generator.normal(0, 0.03, drawn.shape)
    return np.asarray(np.maximum(drawn, 0), np.float32)


def _mask(root: Path, kind: int, number: int) -> str:
    """Return one of a class's masks, drawn when it is first asked for: an ellipse."""
    place = root / "masks" / f"{kind:03d}-{number:02d}.png"
    if not place.exists():
        place.parent.mkdir(exist_ok=True)
        rows, cols = np.mgrid[:_HEIGHT, :_WIDTH]
        angle = 2 * np.pi * number / _MASKS
        x, y = _WIDTH * (0.5 + 0.2 * np.cos(angle)), _HEIGHT * (0.5 + 0.2 * np.sin(angle))
        far = ((cols - x) / 120) ** 2 + ((rows - y) / 80) ** 2
        values = np.where(far < 1, kind + 1, np.where(far < 1.1, 255, 0)).astype(np.uint8)
        Image.fromarray(values).save(place)
    return str(place)


def _write_maps(place: Path, images: pa.Table, maps: list[npt.NDArray[np.float32]]) -> None:
    sides = {"grid_width": _GRID, "grid_height": _GRID, "width": _WIDTH, "height": _HEIGHT}
    columns = {name: pa.array(np.full(len(maps), value, np.int32)) for name, value in sides.items()}
    names = pa.array([classes[0] for classes in images["classes"].to_pylist()])
    table = {"image_id": images["image_id"], "class": names, "map": list_column(maps, np.float16)}
    pq.write_table(pa.table(table | columns), place, row_group_size=_SHARD)


def measured(run: Run, maps: Path, workers: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Evaluate in a process of its own with a Ray of its own; return the figures and the report."""
    command = [
        sys.executable, "-m", "raypipe", "evaluate", "--run", str(run), "--maps", f"drawn={maps}",
        "--address", "local", "--cpus", str(workers), "--fresh", "--json",
    ]  # fmt: skip
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        driver = largest = 0
        while child.poll() is None:
            driver = max(driver, _memory(psutil.Process(child.pid)))
            for process in psutil.Process(child.pid).children(recursive=True):
                if (title := _title(process)).startswith("ray::") and "IDLE" not in title:
                    largest = max(largest, _memory(process))
            time.sleep(_LOOK)
        seconds = time.monotonic() - started
        if child.returncode:
            raise RuntimeError(f"{' '.join(command)}: exit code {child.returncode}")
        output.seek(0)
        report = json.load(output)
    figures = {"workers": workers, "seconds": round(seconds, 1),
               "driver_mb": round(driver / 1e6), "worker_mb": round(largest / 1e6)}  # fmt: skip
    return figures, report


def _memory(process: psutil.Process) -> int:
    """Return the bytes that a process alone holds; 0 once it has ended."""
    try:
        return int(process.memory_full_info().uss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return ""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=numbers, default=[10_000])
    parser.add_argument("--workers", type=numbers, default=[1, 2])
    parser.add_argument("--masks", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--rough", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = []
    if not arguments.json:
        print(f"{'images':>8} {'workers':>7} {'seconds':>8} {'ms a core':>9} {'driver MB':>9} "
              f"{'worker MB':>9}  CorLoc V1    V2    PxAP  mIoU")  # fmt: skip
    for images in arguments.images:
        with tempfile.TemporaryDirectory(prefix="raypipe-") as folder:
            root = Path(folder)
            run = write_run(root, images, masks=arguments.masks, rough=arguments.rough)
            reports = []
            for workers in arguments.workers:
                figures, report = measured(run, root / "maps", workers)
                reports.append(report)
                found.append({"images": images} | figures)
                if not arguments.json:
                    shares = [report[name]["plain"] for name in _SHOWN]
                    shown = " ".join("  –  " if one is None else f"{one:.3f}" for one in shares)
                    cost = 1000 * figures["seconds"] * workers / images
                    print(f"{images:>8,} {workers:>7} {figures['seconds']:>8} {cost:>9.1f} "
                          f"{figures['driver_mb']:>9} {figures['worker_mb']:>9}  {shown}",
                          flush=True)  # fmt: skip
            if any(report != reports[0] for report in reports):
                raise RuntimeError("the reports of different workers differ")
    if arguments.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
