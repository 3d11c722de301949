"""Metrics of the work, on the Prometheus endpoint that every node of a Ray cluster has."""

from __future__ import annotations

from functools import lru_cache

from raypipe.stages import Spent

_TAGS = ("run", "step")
_BOUNDS = [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0]
"""Seconds of a stage of a shard: from a commit to disk to a slow store."""

NAMES = (
    "raypipe_images", "raypipe_shards", "raypipe_rejects", "raypipe_stage_seconds",
    "raypipe_images_left",
)  # fmt: skip
"""What is measured; Ray puts `ray_` before each, and `_total` behind counters."""


class Measures:
    """The metrics of one step of one run in this process.

    Args:
        run: Name of the run.
        step: Name of the step.
    """

    def __init__(self, run: str, step: str) -> None:
        from ray.util.metrics import Counter, Gauge, Histogram

        images, shards, rejects, seconds, left = NAMES
        self._tags = {"run": run, "step": step}
        self._images = Counter(images, "Images worked on, rejects included.", _TAGS)
        self._shards = Counter(shards, "Shards committed.", _TAGS)
        self._rejects = Counter(rejects, "Images rejected.", (*_TAGS, "reason"))
        self._seconds = Histogram(
            seconds, "Seconds of a stage of a shard.", _BOUNDS, (*_TAGS, "stage")
        )

        self._left = Gauge(left, "Images that the step has still to work on.", _TAGS)

    def left(self, images: int) -> None:
        """Say how many images the step has still to work on; the driver knows."""
        self._left.set(images, self._tags)

    def time(self, spent: Spent) -> None:
        """Observe the stages of one shard."""
        for stage, seconds in spent.seconds.items():
            self._seconds.observe(seconds, self._tags | {"stage": stage})

    def commit(self, images: int, spent: Spent) -> None:
        """Count a shard that is committed."""
        self._shards.inc(1, self._tags)
        if images:
            self._images.inc(images, self._tags)
        for reason, count in spent.rejects.items():
            self._rejects.inc(count, self._tags | {"reason": reason})


@lru_cache
def measures(run: str, step: str) -> Measures:
    """Return the metrics of a step: made once in a process, as Ray wants it."""
    return Measures(run, step)
