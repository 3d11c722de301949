"""Extract: stream shards of images through the network; keep maps, regions and rejects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raypipe.config import ExtractConfig, Settings
from raypipe.datasets.decode import DecodedShard, ReadShard, Reject
from raypipe.datasets.index import read_classes
from raypipe.engine import Engine, ShardWorker
from raypipe.extract.regions import RegionSample, regions_of
from raypipe.extract.rows import map_table, region_table
from raypipe.localizers.job import LocalizerJob, identity
from raypipe.localizers.shard import LocalizedImage, localize_shard
from raypipe.storage.run import Manifest, Parts, Plan, Run
from raypipe.tables import IMAGES, MAPS, REGIONS, REJECTS

STEP = "extract"

_REGION_GROUP = 1024
"""Rows a row group of regions, about 2 MB: a class is read without the rest of its shard."""


def plan(run: Run, settings: Settings) -> Plan:
    """Say what extracting would do."""
    index_set = settings.dataset.split
    upstream = {"index": run.require(f"index/{index_set}").identity}
    head = run.manifest("fit")
    if head is not None:
        upstream["fit"] = head.fingerprint
    config = settings.extract.identity() | identity(settings.localizer)
    return Plan(STEP, config | {"index_set": index_set}, upstream)


def execute(run: Run, settings: Settings, engine: Engine) -> Manifest:
    """Extract what is not there yet.

    Raises:
        ConfigError: If the localizer does not fit, or a class is known to nobody.
    """
    step = plan(run, settings)
    index_set = str(step.config["index_set"])
    images = run.read(IMAGES, "index", index_set, "images.parquet")
    job = LocalizerJob.of(run, settings.localizer, read_classes(run, index_set))
    size = job.build().input_size  # here, to find a user's mistake before work is sent out
    run.reopen(STEP)

    # 1. Read and decode in tasks, localize and commit in actors. A shard is done when its maps,
    #    written last, are there.
    context = ExtractContext(
        run=run,
        step=step,
        job=job,
        config=settings.extract,
        batch_size=settings.engine.batch_size,
        class_sizes=Counter(name for names in images["classes"].to_pylist() for name in names),
    )
    reader = ReadShard(size, settings.engine.max_pixels)
    done = Parts(run, step, "maps").done()
    engine.shards("extracting", images, done, reader, ExtractShard, context)

    # 2. The manifest, last.
    counts = {"images": images.num_rows}
    for kind, table in (("maps", MAPS), ("regions", REGIONS), ("rejects", REJECTS)):
        parts = Parts(run, step, kind)
        counts[kind] = parts.count(table)
        parts.remove_others()
    return run.finish(step, counts, {"index_set": index_set})


@dataclass(frozen=True)
class ExtractContext:
    """What an actor needs to know; small and picklable."""

    run: Run
    step: Plan
    job: LocalizerJob
    config: ExtractConfig
    batch_size: int
    class_sizes: Mapping[str, int]


class ExtractShard(ShardWorker):
    """Localizes the images of a shard and commits its tables.

    Args:
        context: Configuration; the network is loaded here, in the actor.
    """

    def __init__(self, context: ExtractContext) -> None:
        self._context = context
        self._localizer = context.job.build()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Write maps, regions and rejects of one shard; return its counts."""
        context = self._context
        shard = DecodedShard.from_row(row)
        rejects: list[Reject] = list(shard.rejects)
        localized: list[LocalizedImage] = []
        regions: list[RegionSample] = []
        stream = localize_shard(self._localizer, shard, context.batch_size, rejects)
        for item, features in stream:
            regions.extend(regions_of(item, features, context.class_sizes, context.config))
            localized.append(item)
        for kind, table, group in (
            ("rejects", REJECTS.build([vars(reject) for reject in rejects]), None),
            ("regions", region_table(regions), _REGION_GROUP),
            ("maps", map_table(localized), None),  # last: they say that the shard is done
        ):
            Parts(context.run, context.step, kind).place(shard.name).write_table(table, group=group)
        return {"shard": shard.name, "images": len(shard.images) + len(shard.rejects)}
