"""Contenders on Ray: the pattern of Ray's documentation, and raypipe."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from benchmarks.measure import Outcome, Task, steady_rate
from raypipe.config import EngineConfig
from raypipe.engine import connected

Batch = dict[str, npt.NDArray[Any]]

_IN_FLIGHT = 2
"""Shards that one of raypipe's actors works on at a time where it computes on CPUs."""


class ImageClassifier:
    """The callable class of Ray's guides "Working with images" and "Offline batch inference"."""

    def __init__(self, task: Task) -> None:
        from benchmarks.networks import HookedCam

        self._cam, self._labels = HookedCam(task), task.labels()

    def __call__(self, batch: Batch) -> Batch:
        """Return maps and features of the images of a batch."""
        import torch

        pixels = torch.from_numpy(batch["image"]).permute(0, 3, 1, 2)
        labels = [self._labels[Path(path).parent.name] for path in batch["path"]]
        maps, features = self._cam(pixels, labels)
        packed = np.array([item.tobytes() for item in features], dtype=object)
        done = np.full(len(maps), time.time())
        return {"path": batch["path"], "map": maps, "features": packed, "done": done}


def ray_docs(task: Task, _: dict[str, Any]) -> Outcome:
    """Read images, map batches in actors, write Parquet: the documentation's three lines."""
    import ray.data

    out = _emptied(task, "ray_docs")
    # The documentation's actors hold a CPU each, and so does a task that reads: a pool on all CPUs
    # would leave none for reading, and wait for ever.
    actors = max(1, task.threads - 1)
    with connected(EngineConfig(address="local", cpus=task.threads)):
        images = ray.data.read_images(
            [str(path) for path in task.paths()],
            size=(task.input_size, task.input_size), mode="RGB", include_paths=True,
        )  # fmt: skip
        found: Any = images.map_batches(
            ImageClassifier,
            fn_constructor_args=(task,),
            compute=ray.data.ActorPoolStrategy(size=actors),
            batch_size=32,
            num_cpus=1,
        )
        found.write_parquet(str(out))
    # When batches were done is in their rows: the tasks that write wait for those that read, and
    # then write many files at once. The clock stops at the last file.
    finished = [*_batches(out), (max(at for at, _ in _files(out)), 0)]
    words = f"{actors} × 1 thread, batch 32"
    return Outcome(_counted(finished), steady_rate(finished, head=actors), words)


def run_raypipe(task: Task, _: dict[str, Any]) -> Outcome:
    """Run `raypipe extract` through the command line's own code."""
    from raypipe.pipeline import Pipeline
    from raypipe.resolve import resolve

    run = _emptied(task, "raypipe")
    flags: dict[str, Any] = {
        "run": str(run),
        "dataset": {"name": "ilsvrc", "root": task.root},
        "localizer": {
            "architecture": task.network, "weights": task.weights, "input_size": task.input_size,
        },
        "engine": {"address": "local", "cpus": task.threads},
    }  # fmt: skip
    with Pipeline(*resolve(None, flags)) as pipeline:
        pipeline.index()
        actors = pipeline.engine.actors
        started = time.time()
        pipeline.extract()
        seconds = time.time() - started
    finished = _files(run / "extract" / "maps")
    images = _counted(finished)
    return Outcome(
        images,
        _between_waves(finished, actors * _IN_FLIGHT),
        f"{actors} × 1 thread",
        {"extract_seconds": seconds, "whole_extract": images / seconds,
         "to_last_shard": images / (max(at for at, _ in finished) - started)},
    )  # fmt: skip


def _between_waves(finished: list[tuple[float, int]], in_flight: int) -> float:
    """Return the rate while every actor works on as many shards as it can.

    Shards are finished in parallel, so from the first to the last would flatter: when the first
    is finished the others are nearly done as well. The clock starts when as many are finished as
    are worked on at a time, and stops when as many are left: at both moments all actors are busy,
    and the shards in work are half done on average. With too few shards it is a quarter at
    either end.
    """
    edge = max(1, min(in_flight, len(finished) // 4))
    return steady_rate(finished, head=edge, tail=edge)


def _emptied(task: Task, name: str) -> Path:
    """Return a folder for output with nothing of an earlier round in it."""
    folder = Path(task.work) / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _files(folder: Path) -> list[tuple[float, int]]:
    """Return when each Parquet file was written, and its rows: one an image."""
    places = folder.rglob("*.parquet")
    return [(place.stat().st_mtime, pq.read_metadata(place).num_rows) for place in places]


def _batches(folder: Path) -> list[tuple[float, int]]:
    """Return when each batch was done, and its images, from the rows of Parquet files."""
    done: Counter[float] = Counter()
    for place in folder.rglob("*.parquet"):
        done.update(pq.read_table(place, columns=["done"])["done"].to_pylist())
    return list(done.items())


def _counted(finished: list[tuple[float, int]]) -> int:
    return sum(size for _, size in finished)
