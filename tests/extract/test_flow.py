"""What an actor makes of a shard: maps, regions with their own features, rejects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from raypipe.columns import matrix
from raypipe.config import ExtractConfig
from raypipe.extract.flow import OUTPUTS, ExtractContext, ExtractShard
from raypipe.localizers.projection import Projection, projection_table, random_directions
from raypipe.storage.commit import ShardCommit
from raypipe.storage.run import Plan, Run
from raypipe.tables import MAPS, PROJECTION, REGIONS
from tests.drawn import noise_shard, toynet_job

LABELS = (("class1",), ("class2", "class1"), (), ("class2",), ("class1",))
DIMENSIONS = 8


@pytest.fixture
def context(tmp_path) -> ExtractContext:
    run = Run.at(str(tmp_path / "run"))
    directions = random_directions(32, DIMENSIONS, 0)
    run.write(PROJECTION, projection_table(directions), "extract", "projection.parquet")
    return ExtractContext(
        commit=ShardCommit(run, Plan("extract", {}, {}), OUTPUTS),
        job=toynet_job(tmp_path, "class1", "class2"),
        config=ExtractConfig(regions_per_class=25, background_per_class=15),
        batch_size=2,
        class_sizes={"class1": 5, "class2": 5},
    )


def test_every_region_carries_the_projected_feature_of_its_own_cell(context) -> None:
    shard = noise_shard("s", LABELS)
    ExtractShard(context)(shard)
    table = context.commit.parts(REGIONS).rows(REGIONS, "s")
    features = context.job.build().localize(shard.pixels, []).features
    project = Projection.of(context.commit.run, torch.device("cpu"))
    at = [int(name.rsplit("-")[1]) for name in table["image_id"].to_pylist()]
    vectors = features[at, :, table["row"].to_pylist(), table["col"].to_pylist()]
    assert len(np.unique(vectors.numpy().round(3), axis=0)) > 30, "cells that can be told apart"
    np.testing.assert_allclose(matrix(table["feature"]), project(vectors), atol=1e-3)


def test_every_class_of_an_image_has_a_map_and_its_regions(context) -> None:
    ExtractShard(context)(noise_shard("s", LABELS))
    maps = context.commit.parts(MAPS).rows(MAPS, "s")
    pairs = list(zip(maps["image_id"].to_pylist(), maps["class"].to_pylist(), strict=True))
    labelled = [(f"s-{at}", name) for at, own in enumerate(LABELS) for name in sorted(own)]
    assert [pair for pair in pairs if pair[0] != "s-2"] == labelled
    assert len(pairs) == len(labelled) + 1, "without labels: the class that is seen"
    grids = dict(zip(pairs, matrix(maps["map"]).reshape(-1, 8, 8), strict=True))
    rows = context.commit.parts(REGIONS).rows(REGIONS, "s").to_pylist()
    assert {(row["image_id"], row["class"]) for row in rows} == set(labelled)
    for row in rows:
        score = float(grids[row["image_id"], row["class"]][row["row"], row["col"]])
        assert score == pytest.approx(row["score"], abs=1e-3)
        assert score < 0.11 if row["background"] else score > 0.19


@pytest.mark.parametrize("batch", [1, 64])
def test_the_size_of_a_batch_changes_nothing(context, tmp_path, batch) -> None:
    commit = replace(context.commit, plan=Plan("extract", {"batch": batch}, {}))
    shard = noise_shard("s", LABELS)
    ExtractShard(context)(shard)
    ExtractShard(replace(context, commit=commit, batch_size=batch))(shard)
    one, other = (own.parts(REGIONS).rows(REGIONS, "s") for own in (context.commit, commit))
    assert one.drop_columns(["feature", "score"]) == other.drop_columns(["feature", "score"])
    np.testing.assert_allclose(matrix(one["feature"]), matrix(other["feature"]), atol=2e-3)


def test_a_shard_with_rejects_only_is_done(context) -> None:
    ExtractShard(context)(noise_shard("s", [], rejects=["s-0", "s-1"]))
    assert context.commit.done() == {"s"}
    assert context.commit.rejected()["image_id"].to_pylist() == ["s-0", "s-1"]
    assert context.commit.finish() == {"regions": 0, "maps": 0, "rejects": 2}


def test_a_retry_is_as_if_the_image_had_been_well_at_once(context) -> None:
    shard = noise_shard("s", LABELS)
    whole = replace(context, commit=replace(context.commit, plan=Plan("extract", {"x": 1}, {})))
    work = ExtractShard(context)
    work(replace(shard, images=shard.images[:4], pixels=shard.pixels[:4],
                 rejects=noise_shard("s", [], rejects=["s-4"]).rejects))  # fmt: skip
    work(replace(shard, images=shard.images[4:], pixels=shard.pixels[4:], retried=True))
    ExtractShard(whole)(shard)
    for table in (MAPS, REGIONS):
        one, other = (own.commit.parts(table).place("s") for own in (context, whole))
        assert one.read_bytes() == other.read_bytes()
    assert context.commit.rejected().num_rows == 0
