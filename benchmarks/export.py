"""Exports: seconds and peak memory of `raypipe export`, for ever more detections.

python benchmarks/export.py                                    13,000 and 130,000 detections
python benchmarks/export.py --detections 1300000 --formats coco,csv
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.options import names_of, numbers
from raypipe.columns import box_cell
from raypipe.config import RefineConfig
from raypipe.export.formats import Format
from raypipe.storage.parts import Parts
from raypipe.storage.run import Plan, Run
from raypipe.tables import CLASSES, DETECTIONS, IMAGES, SHARDS

_SHARD, _CLASSES, _GRID = 128, 1000, 14


def write_run(root: Path, detections: int) -> Run:
    """Write a refined run of drawn boxes, one an image, shard by shard."""
    run = Run.at(str(root))
    index, refine = Plan("index/val", {}, {}), Plan("refine/val", RefineConfig().identity(), {})
    names = [f"n{number:08d}" for number in range(_CLASSES)]
    classes = [
        {"class": name, "title": name, "images": 0, "network_index": None, "mask_value": None}
        for name in names
    ]
    run.write(CLASSES, CLASSES.build(classes), "index", "val", "classes.parquet")
    images, found = Parts(run, index, IMAGES.name), Parts(run, refine, DETECTIONS.name)
    generator, shards = np.random.default_rng(0), []
    for number, start in enumerate(range(0, detections, _SHARD)):
        name, rows = f"{number:06d}", range(start, min(start + _SHARD, detections))
        about: list[dict[str, Any]] = [
            {"image_id": f"val/{at:08d}", "uri": f"s3://bucket/val/{at:08d}.jpg",
             "classes": [names[at % _CLASSES]], "ordinals": [at // _CLASSES], "mask_uri": None,
             "shard": name}
            for at in rows
        ]  # fmt: skip
        images.place(name).write_table(IMAGES.build(about))
        corners = np.sort(generator.integers(0, 500, (len(rows), 2, 2)), axis=1).astype(float)
        maps = generator.random((len(rows), _GRID * _GRID), np.float32).astype(np.float16)
        boxes = [
            {"image_id": item["image_id"], "class": item["classes"][0], "rule": "classify",
             "width": 500, "height": 500, "grid_width": _GRID, "grid_height": _GRID, "map": row,
             "boxes": [box_cell(box)], "score": 1.0,
             "rank": 1, "fallback": False, "guessed": 0.0}
            for item, row, box in zip(about, maps, corners.reshape(-1, 4).tolist(), strict=True)
        ]  # fmt: skip
        found.place(name).write_table(DETECTIONS.build(boxes))
        shards.append({"shard": name, "part": name, "images": len(rows)})
    run.write(SHARDS, SHARDS.build(shards), "index", "val", "shards.parquet")
    run.finish(index, {"images": detections, "boxes": 0, "masks": 0})
    run.finish(refine, {"images": detections}, {"rules": ["classify"], "questions": {}})
    return run


def measured(run: Run, form: str, folder: Path) -> dict[str, float]:
    """Export in a process of its own; return seconds, peak MB and MB written."""
    out = folder / form
    command = [sys.executable, "-m", "raypipe", "export", form, str(out), "--run", str(run)]
    started = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {child.returncode}")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return {
        "seconds": round(time.monotonic() - started, 1),
        "peak_mb": round(usage.ru_maxrss / 1024),
        "written_mb": round(size / 1e6, 1),
    }


def main() -> None:
    """Measure and print."""
    # FiftyOne wants files on disk, which are not drawn here; see its page for figures.
    known = [form.value for form in Format if form is not Format.FIFTYONE]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detections", type=numbers, default=[13_000, 130_000])
    parser.add_argument("--formats", type=names_of(known), default=known)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = []
    if not arguments.json:
        print(f"{'format':<12} {'detections':>10} {'seconds':>8} {'peak MB':>8} {'written MB':>11}")
    for count in arguments.detections:
        with tempfile.TemporaryDirectory(prefix="raypipe-") as folder:
            run = write_run(Path(folder) / "run", count)
            for form in arguments.formats:
                row = {"format": form, "detections": count} | measured(run, form, Path(folder))
                found.append(row)
                if not arguments.json:
                    print(f"{form:<12} {count:>10,} {row['seconds']:>8} {row['peak_mb']:>8} "
                          f"{row['written_mb']:>11}", flush=True)  # fmt: skip
    if arguments.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
