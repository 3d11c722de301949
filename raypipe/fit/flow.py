"""Fit: stream images through the frozen network, then learn a linear head a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raypipe.columns import list_column, matrix
from raypipe.config import Settings
from raypipe.datasets.base import ClassRecord
from raypipe.datasets.index import read_classes
from raypipe.engine import Engine, ShardWorker
from raypipe.errors import InputError
from raypipe.fit.head import Floats, fit_class
from raypipe.loading.shard import DecodedShard, ReadShard, commit_shard
from raypipe.localizers.job import LocalizerJob, identity
from raypipe.localizers.shard import ShardLocalizer
from raypipe.progress import say, tracking
from raypipe.storage.commit import Output, ShardCommit
from raypipe.storage.images import ShardReader, read_images, read_shards
from raypipe.storage.run import Manifest, Plan, Run
from raypipe.tables import EMBEDDINGS, HEAD, REJECTS

STEP = "fit"

OUTPUTS = (Output(EMBEDDINGS, ("image_id",)),)


def plan(run: Run, settings: Settings) -> Plan:
    """Say what fitting would do."""
    index_set = settings.dataset.split
    upstream = {"index": run.require(f"index/{index_set}").identity}
    return Plan(STEP, settings.fit.identity() | identity(settings.localizer), upstream)


def execute(run: Run, settings: Settings, engine: Engine, *, retry: bool = False) -> Manifest:
    """Learn a head for the classes that the network does not know, or for all.

    Args:
        run: The run directory.
        settings: The configuration.
        engine: The cluster.
        retry: Try rejected images again, too.

    Raises:
        ConfigError: If the localizer's parts do not fit together.
        InputError: If a class has no image without its label to be told from.
    """
    step = plan(run, settings)
    index_set = settings.dataset.split
    shards = read_shards(run, index_set)
    job = LocalizerJob(settings.localizer, ())
    size = job.build().input_size  # here, to find a user's mistake before work is sent out
    wanted = _wanted(settings, read_classes(run, index_set))
    run.begin(step)

    # 1. Pooled features of every image, a file a shard.
    commit = ShardCommit(run, step, OUTPUTS)
    if wanted:
        reader = ReadShard(ShardReader.of(run, index_set), size, settings.engine.max_pixels)
        context = EmbedContext(commit, job, settings.engine.batch_size)
        engine.shards("embedding", shards, commit, reader, EmbedShard, context, retry=retry)

    # 2. One logistic regression a class, in tasks.
    images = read_images(run, index_set, ["image_id", "classes"])
    rows = _learn(commit, settings.fit.c, engine, images, wanted) if wanted else []
    run.write(HEAD, _head(rows), STEP, "head.parquet")
    if not wanted:
        say("fit: the network knows every class already; --every-class learns them anyway")
    rejects = commit.finish()[REJECTS.name]
    counts = {"images": images.num_rows, "classes": len(rows), "rejects": rejects}
    return run.finish(step, counts, {"content": commit.rejected_content()})


def _wanted(settings: Settings, classes: Sequence[ClassRecord]) -> list[str]:
    """Return the classes to learn."""
    if settings.fit.every_class:
        return [item.name for item in classes]
    from raypipe.localizers.classes import network_outputs
    from raypipe.localizers.weights import load

    known = network_outputs(settings.localizer, classes, load(settings.localizer).classes)
    return [item.name for item in classes if item.name not in known]


@dataclass(frozen=True)
class EmbedContext:
    """What an actor needs to know; small and picklable."""

    commit: ShardCommit
    job: LocalizerJob
    batch_size: int


class EmbedShard(ShardWorker):
    """Embeds the images of a shard and commits them.

    Args:
        context: Configuration; the network is loaded here, in the actor.
    """

    def __init__(self, context: EmbedContext) -> None:
        self._commit = context.commit
        self._network = ShardLocalizer(context.job, context.batch_size)

    def __call__(self, shard: DecodedShard) -> None:
        """Write one shard's embeddings."""
        vectors = [row for batch in self._network.embed(shard) for row in batch]
        columns = {
            "image_id": [image.image_id for image in shard.images],
            "embedding": list_column(vectors, np.float32),
        }
        table = pa.table(columns, schema=EMBEDDINGS.schema)
        commit_shard(self._commit, shard, shard.rejects, table)


def _learn(
    commit: ShardCommit, c: float, engine: Engine, images: pa.Table, wanted: list[str]
) -> list[dict[str, Any]]:
    """Return the head's rows, in the order of the classes."""
    table = pa.concat_tables(commit.parts(EMBEDDINGS).read(EMBEDDINGS))
    labels = dict(
        zip(images["image_id"].to_pylist(), map(set, images["classes"].to_pylist()), strict=True)
    )
    own = [labels[name] for name in table["image_id"].to_pylist()]
    embeddings = matrix(table["embedding"])
    membership = {name: np.array([name in item for item in own]) for name in wanted}
    for name, labelled in membership.items():
        if labelled.all() or not labelled.any():
            which = "every image carries it" if labelled.all() else "no readable image carries it"
            raise InputError(
                f"class {name}: cannot be learned, {which}",
                "add images of other classes, or leave it out with --only",
            )
    rows = {}
    with tracking("fitting", len(wanted), "classes") as tracker:
        tasks = engine.tasks(_fit_task, wanted, embeddings, membership, c)
        for name, (weight, bias) in tasks:
            count = int(membership[name].sum())
            rows[name] = {"class": name, "weight": weight, "bias": bias, "images": count}
            tracker.advance(1)
    return [rows[name] for name in wanted]


def _fit_task(
    name: str, embeddings: Floats, membership: dict[str, npt.NDArray[np.bool_]], c: float
) -> tuple[Floats, float]:
    return fit_class(embeddings, membership[name], c)


def _head(rows: list[dict[str, Any]]) -> pa.Table:
    columns = {
        "class": [row["class"] for row in rows],
        "weight": list_column([row["weight"] for row in rows], np.float32),
        "bias": [row["bias"] for row in rows],
        "images": [row["images"] for row in rows],
    }
    return pa.table(columns, schema=HEAD.schema)
