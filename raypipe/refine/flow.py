"""Refine: stream images, new ones included, through the network and the labelled regions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from raypipe.config import RefineConfig, Settings
from raypipe.datasets.decode import DecodedShard, ReadShard, Reject
from raypipe.datasets.index import read_classes
from raypipe.engine import Engine, ShardWorker
from raypipe.errors import ConfigError
from raypipe.localizers.job import LocalizerJob, identity
from raypipe.localizers.shard import LocalizedImage, localize_shard, map_columns
from raypipe.maps import Floats
from raypipe.refine.boxes import map_boxes
from raypipe.refine.match import Matcher
from raypipe.refine.references import ReferenceStore
from raypipe.refine.suppress import refined
from raypipe.storage.regions import region_files
from raypipe.storage.run import Manifest, Parts, Plan, Run, fingerprint
from raypipe.tables import DETECTIONS, IMAGES, REJECTS

if TYPE_CHECKING:
    from torch import Tensor

_CLASSES_HELD = 16  # references an actor keeps: about 40 MB a class; shards are class-pure
Verdicts = Mapping[tuple[str, int], str]


def plan(run: Run, settings: Settings, target: str, verdicts: Verdicts) -> Plan:
    """Say what refining an indexed set would do.

    Args:
        run: The run directory.
        settings: The configuration.
        target: Name of the set below `index/`.
        verdicts: Answer by class and cluster.

    Raises:
        ConfigError: If the localizer is not the one that extracted the regions.
    """
    localizer = identity(settings.localizer)
    extract = run.require("extract")
    if extract.config["localizer"] != localizer["localizer"]:
        raise ConfigError(
            f"{run}: its regions were extracted with other localizer settings",
            "leave the localizer's flags out (the run remembers them), or extract again",
        )
    upstream = {
        "index": run.require(f"index/{target}").identity,
        "cluster": run.require("cluster").fingerprint,
        "labels": fingerprint({"verdicts": sorted(map(list, verdicts.items()))}, {}),
    }
    config = settings.refine.identity() | localizer
    return Plan(f"refine/{target}", config, upstream)


def execute(
    run: Run, settings: Settings, engine: Engine, target: str, verdicts: Verdicts
) -> Manifest:
    """Refine what is not there yet; write plain and refined detections.

    Raises:
        ConfigError: If the localizer does not fit.
    """
    step = plan(run, settings, target, verdicts)
    images = run.read(IMAGES, "index", target, "images.parquet")
    classes = read_classes(run, run.require("extract").details["index_set"])
    job = LocalizerJob.of(run, settings.localizer, classes)
    size = job.build().input_size  # here, to find a user's mistake before work is sent out
    run.reopen(step.step)

    # 1. Read and decode in tasks, refine and commit in actors.
    store = ReferenceStore(run, region_files(run), verdicts)
    context = RefineContext(run, step, job, settings.refine, settings.engine.batch_size, store)
    reader = ReadShard(size, settings.engine.max_pixels)
    parts = Parts(run, step, "detections")
    engine.shards("refining", images, parts.done(), reader, RefineShard, context)

    # 2. The manifest, last.
    rejects = Parts(run, step, "rejects")
    counts = {
        "images": images.num_rows,
        "detections": parts.count(DETECTIONS),
        "rejects": rejects.count(REJECTS),
    }
    for kind in (parts, rejects):
        kind.remove_others()
    questions = Counter(name for name, _ in verdicts)
    details = {"questions": dict(questions), "rules": list(settings.refine.rules)}
    return run.finish(step, counts, details)


@dataclass(frozen=True)
class RefineContext:
    """What an actor needs to know; small and picklable."""

    run: Run
    step: Plan
    job: LocalizerJob
    config: RefineConfig
    batch_size: int
    store: ReferenceStore


@dataclass(frozen=True)
class Detection:
    """One row to be: a class in an image by one rule."""

    item: LocalizedImage
    at: int
    rule: str
    grid: Floats
    fallback: bool


class RefineShard(ShardWorker):
    """Refines the images of a shard and commits their detections.

    Args:
        context: Configuration; the network is loaded here, in the actor.
    """

    def __init__(self, context: RefineContext) -> None:
        self._context = context
        self._localizer = context.job.build()
        self._matcher = lru_cache(maxsize=_CLASSES_HELD)(self._load_matcher)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Write the detections of one shard; return its counts."""
        context = self._context
        shard = DecodedShard.from_row(row)
        rejects: list[Reject] = list(shard.rejects)
        found: list[Detection] = []
        stream = localize_shard(self._localizer, shard, context.batch_size, rejects)
        for item, features in stream:
            for at in range(len(item.classes)):
                found += self._detections(item, at, features)
        reject_rows = REJECTS.build([vars(reject) for reject in rejects])
        Parts(context.run, context.step, "rejects").place(shard.name).write_table(reject_rows)
        table = _table(found, context.config)
        Parts(context.run, context.step, "detections").place(shard.name).write_table(table)
        return {"shard": shard.name, "images": len(shard.images) + len(shard.rejects)}

    def _detections(self, item: LocalizedImage, at: int, features: Tensor) -> list[Detection]:
        """Return the plain detection of a class and one for each rule."""
        plain = item.maps[at]
        found = [Detection(item, at, "plain", plain, fallback=False)]
        matcher = self._matcher(item.classes[at])
        config = self._context.config
        # Neither rule looks at cells below both thresholds.
        wanted = plain > min(config.floor, config.threshold)
        share = matcher.object_share(features, wanted) if matcher else None
        for rule in dict.fromkeys(config.rules):
            grid = plain if share is None else refined(plain, share, rule, config)
            lost = share is None or not grid.any()
            found.append(Detection(item, at, rule, plain if lost else _scaled(grid), lost))
        return found

    def _load_matcher(self, name: str) -> Matcher | None:
        import torch

        references = self._context.store.read(name)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if references is None:
            return None
        return Matcher(references, self._context.config.neighbors, device)


def _scaled(grid: Floats) -> Floats:
    """Scale a refined map's maximum to 1: thresholds are shares of its own maximum."""
    return np.asarray(grid / grid.max(), dtype=np.float32)


def _table(found: list[Detection], config: RefineConfig) -> pa.Table:
    """Return the DETECTIONS rows."""
    columns = map_columns([(one.item, one.at) for one in found], [one.grid for one in found])
    boxes = [
        map_boxes(one.grid, one.item.image.height, one.item.image.width, config.threshold,
                  every=config.all_components)
        for one in found
    ]  # fmt: skip
    columns |= {
        "rule": [one.rule for one in found],
        "boxes": [[dict(zip(("x0", "y0", "x1", "y1"), box, strict=True)) for box in rows.tolist()]
                  for rows in boxes],
        "score": [float(one.item.scores[one.at]) for one in found],
        "fallback": [one.fallback for one in found],
    }  # fmt: skip
    return pa.table({name: columns[name] for name in DETECTIONS.schema.names},
                    schema=DETECTIONS.schema)  # fmt: skip
