"""Refine: stream images, new ones included, through the network and the labelled regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

from raypipe.chances import agreement, object_chances
from raypipe.columns import box_cell
from raypipe.config import RefineConfig, Settings
from raypipe.datasets.index import read_classes
from raypipe.engine import Engine, ShardWorker
from raypipe.errors import ConfigError
from raypipe.loading.shard import DecodedShard, ReadShard, Reject, commit_shard
from raypipe.localizers.job import LocalizerJob, identity
from raypipe.localizers.projection import Projection
from raypipe.localizers.shard import LocalizedBatch, LocalizedImage, ShardLocalizer, map_columns
from raypipe.maps import Floats, map_boxes
from raypipe.progress import say
from raypipe.refine.match import Matcher
from raypipe.refine.references import ReferenceStore
from raypipe.refine.suppress import refined
from raypipe.storage.commit import Output, ShardCommit
from raypipe.storage.images import ShardReader, read_shards
from raypipe.storage.run import Manifest, Plan, Run, fingerprint
from raypipe.tables import CLUSTERS, DETECTIONS

OUTPUTS = (Output(DETECTIONS, ("image_id", "class", "rule")),)

_VERSION = 2  # of what a detection says: grows when the same settings write other columns
_TRUSTED = 2 / 3  # answers that guesses should agree with: 0.8 on MSRC, 0.2 where they mislead
_CLASSES_HELD = 16  # references an actor keeps: about 10 MB a class; shards are class-pure

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
        "cluster": run.require("cluster").identity,
        "labels": fingerprint({"verdicts": sorted(map(list, verdicts.items()))}, {}),
    }
    config = settings.refine.identity() | localizer | {"detections_version": _VERSION}
    return Plan(f"refine/{target}", config, upstream)


def execute(
    run: Run,
    settings: Settings,
    engine: Engine,
    target: str,
    verdicts: Verdicts,
    asked: Mapping[str, Mapping[str, float]],
    *,
    retry: bool = False,
) -> Manifest:
    """Refine what is not there yet; write plain and refined detections.

    Args:
        run: The run directory.
        settings: The configuration.
        engine: The cluster.
        target: Name of the set below `index/`.
        verdicts: Answer by class and cluster.
        asked: `questions` that were answered and their `seconds`, by class; only recorded.
        retry: Try rejected images again, too.

    Raises:
        ConfigError: If the localizer does not fit.
    """
    step = plan(run, settings, target, verdicts)
    shards = read_shards(run, target)
    classes = read_classes(run, run.require("extract").details["index_set"])
    job = LocalizerJob.of(run, settings.localizer, classes)
    size = job.build().input_size  # here, to find a user's mistake before work is sent out
    details = {**asked, "rules": list(settings.refine.rules)}
    run.begin(step, details)

    # 1. Read and decode in tasks, refine and commit in actors.
    commit = ShardCommit(run, step, OUTPUTS)
    guesses = _guesses(run, verdicts) if settings.refine.unanswered == "guess" else {}
    store = ReferenceStore(run, run.require("cluster"), verdicts, guesses)
    context = RefineContext(commit, job, settings.refine, settings.engine.batch_size, store)
    reader = ReadShard(ShardReader.of(run, target), size, settings.engine.max_pixels)
    engine.shards("refining", shards, commit, reader, RefineShard, context, retry=retry)

    # 2. The manifest, last.
    counts = {"images": sum(shards["images"].to_pylist())} | commit.finish()
    return run.finish(step, counts, details | {"content": commit.rejected_content()})


def _guesses(run: Run, verdicts: Verdicts) -> dict[tuple[str, int], float]:
    """Return each cluster's chance to be *object*; say how well it fits the answers there are."""
    table = run.read(CLUSTERS, "cluster", "clusters.parquet")
    keys = zip(table["class"].to_pylist(), table["cluster"].to_pylist(), strict=True)
    chances = dict(zip(keys, object_chances(table).tolist(), strict=True))
    agreed, compared = agreement(chances, verdicts)
    if not compared:
        say("refine: all votes are guessed, and no answer says how good the guesses are")
    else:
        say(f"refine: guesses agree with {agreed} of {compared} answers")
        if agreed < _TRUSTED * compared:
            say("refine: that is little; refine.unanswered=skip is safer here")
    return chances


@dataclass(frozen=True)
class RefineContext:
    """What an actor needs to know; small and picklable."""

    commit: ShardCommit
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
    guessed: float = 0.0


class RefineShard(ShardWorker):
    """Refines the images of a shard and commits their detections.

    Args:
        context: Configuration; the network is loaded here, in the actor.
    """

    def __init__(self, context: RefineContext) -> None:
        self._context = context
        self._network = ShardLocalizer(context.job, context.batch_size)
        self._project = Projection.of(context.commit.run, self._network.device)
        self._matcher = lru_cache(maxsize=_CLASSES_HELD)(self._load_matcher)

    def __call__(self, shard: DecodedShard) -> None:
        """Write the detections of one shard."""
        rejects: list[Reject] = list(shard.rejects)
        found: list[Detection] = []
        for batch in self._network.run(shard, rejects):
            for number, item in enumerate(batch.items):
                for at in range(len(item.classes)):
                    found += self._detections(batch, number, at)
        commit_shard(self._context.commit, shard, rejects, _table(found, self._context.config))

    def _detections(self, batch: LocalizedBatch, number: int, at: int) -> list[Detection]:
        """Return the plain detection of a class of an image, and one for each rule."""
        item = batch.items[number]
        plain = item.maps[at]
        found = [Detection(item, at, "plain", plain, fallback=False)]
        config = self._context.config
        share = self._share(batch, number, item.classes[at], plain)
        matcher = self._matcher(item.classes[at])
        guessed = 0.0 if matcher is None else matcher.guessed
        for rule in dict.fromkeys(config.rules):
            grid = plain if share is None else refined(plain, share, rule, config)
            lost = share is None or not grid.any()
            kept = plain if lost else _scaled(grid)
            found.append(Detection(item, at, rule, kept, lost, 0.0 if lost else guessed))
        return found

    def _share(self, batch: LocalizedBatch, number: int, name: str, plain: Floats) -> Floats | None:
        """Return the (h, w) share of *object* at each cell, or None for a class without any."""
        matcher = self._matcher(name)
        if matcher is None:
            return None
        # Neither rule looks at cells below both thresholds.
        config = self._context.config
        cells = np.argwhere(plain > min(config.floor, config.threshold))
        share = np.zeros(plain.shape, np.float32)
        vectors = self._project(batch.vectors([(number, cells)]))
        share[cells[:, 0], cells[:, 1]] = matcher.object_share(vectors)
        return share

    def _load_matcher(self, name: str) -> Matcher | None:
        references = self._context.store.read(name)
        if references is None:
            return None
        return Matcher(references, self._context.config.neighbors, self._network.device)


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
        "boxes": [[box_cell(box) for box in rows.tolist()] for rows in boxes],
        "score": [float(one.item.scores[one.at]) for one in found],
        "rank": [int(one.item.ranks[one.at]) for one in found],
        "fallback": [one.fallback for one in found],
        "guessed": [one.guessed for one in found],
    }  # fmt: skip
    return pa.table({name: columns[name] for name in DETECTIONS.schema.names},
                    schema=DETECTIONS.schema)  # fmt: skip
