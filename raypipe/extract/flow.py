"""Extract: stream shards of images through the network; keep maps, regions and rejects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raypipe.config import ExtractConfig, Settings
from raypipe.datasets.index import class_sizes, read_classes
from raypipe.engine import Engine, ShardWorker
from raypipe.extract.regions import RegionSample, regions_of
from raypipe.extract.rows import map_table, region_table
from raypipe.loading.shard import DecodedShard, ReadShard, Reject, commit_shard
from raypipe.localizers.job import LocalizerJob, identity
from raypipe.localizers.projection import Projection, projection_table, random_directions
from raypipe.localizers.shard import LocalizedImage, ShardLocalizer, sizes
from raypipe.storage.commit import Output, ShardCommit
from raypipe.storage.images import ShardReader, read_shards
from raypipe.storage.run import Manifest, Plan, Run
from raypipe.tables import MAPS, PROJECTION, REGIONS

STEP = "extract"

OUTPUTS = (
    # 1,024 rows are a megabyte: a class is read without the rest of its shard.
    Output(REGIONS, ("class", "background", "image_id", "row", "col"), group=1024),
    Output(MAPS, ("image_id", "class")),
)


def plan(run: Run, settings: Settings) -> Plan:
    """Say what extracting would do."""
    index_set = settings.dataset.split
    upstream = {"index": run.require(f"index/{index_set}").identity}
    head = run.manifest("fit")
    if head is not None:
        upstream["fit"] = head.identity
    config = settings.extract.identity() | identity(settings.localizer)
    return Plan(STEP, config | {"index_set": index_set}, upstream)


def execute(run: Run, settings: Settings, engine: Engine, *, retry: bool = False) -> Manifest:
    """Extract what is not there yet.

    Args:
        run: The run directory.
        settings: The configuration.
        engine: The cluster.
        retry: Try rejected images again, too.

    Raises:
        ConfigError: If the localizer does not fit, or a class is known to nobody.
    """
    step = plan(run, settings)
    index_set = str(step.config["index_set"])
    shards, classes = read_shards(run, index_set), read_classes(run, index_set)
    job = LocalizerJob.of(run, settings.localizer, classes)
    # The network is built here to find a user's mistake before work is sent out, and let go.
    size, width = sizes(job)
    run.begin(step, {"index_set": index_set})
    directions = random_directions(width, settings.extract.dimensions, settings.extract.seed)
    run.write(PROJECTION, projection_table(directions), STEP, "projection.parquet")

    # 1. Read and decode in tasks, localize and commit in actors.
    commit = ShardCommit(run, step, OUTPUTS)
    context = ExtractContext(
        commit=commit,
        job=job,
        config=settings.extract,
        batch_size=settings.engine.batch_size,
        class_sizes=class_sizes(run, index_set),
    )
    reader = ReadShard(ShardReader.of(run, index_set), size, settings.engine.max_pixels)
    engine.shards("extracting", shards, commit, reader, ExtractShard, context, retry=retry)

    # 2. The manifest, last.
    counts = {"images": sum(shards["images"].to_pylist())} | commit.finish()
    details = {"index_set": index_set, "content": commit.rejected_content()}
    return run.finish(step, counts, details)


@dataclass(frozen=True)
class ExtractContext:
    """What an actor needs to know; small and picklable."""

    commit: ShardCommit
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
        self._network = ShardLocalizer(context.job, context.batch_size)
        self._project = Projection.of(context.commit.run, self._network.device)

    def __call__(self, shard: DecodedShard) -> None:
        """Write maps, regions and rejects of one shard."""
        rejects: list[Reject] = list(shard.rejects)
        localized: list[LocalizedImage] = []
        regions: list[tuple[RegionSample, npt.NDArray[np.float16]]] = []
        for batch in self._network.run(shard, rejects):
            localized += batch.items
            chosen = [
                (at, sample)
                for at, item in enumerate(batch.items)
                for sample in regions_of(item, self._context.class_sizes, self._context.config)
            ]
            vectors = batch.vectors([(at, sample.cells) for at, sample in chosen])
            features = self._project(vectors).half().cpu().numpy()
            ends = np.cumsum([len(sample.cells) for _, sample in chosen])
            own = np.split(features, ends[:-1])
            regions += zip((sample for _, sample in chosen), own, strict=False)
        tables = region_table(regions), map_table(localized)
        commit_shard(self._context.commit, shard, rejects, *tables)
