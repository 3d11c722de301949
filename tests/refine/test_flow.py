"""What an actor makes of a shard: a plain detection of every class, and one by every rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from raypipe.cluster.affinity import centred
from raypipe.columns import matrix
from raypipe.config import RefineConfig
from raypipe.localizers.projection import Projection, projection_table, random_directions
from raypipe.maps import map_boxes, normalised
from raypipe.refine.flow import OUTPUTS, RefineContext, RefineShard
from raypipe.refine.match import Matcher
from raypipe.refine.references import ReferenceStore
from raypipe.refine.suppress import refined
from raypipe.storage.commit import ShardCommit
from raypipe.storage.run import Plan, Run
from raypipe.tables import DETECTIONS, PROJECTION
from tests.clustered import Clustered, write_clusters
from tests.drawn import noise_shard, toynet_job

DIMENSIONS = 8
CPU = torch.device("cpu")
LABELS = (("class1",), ("class2",), ("class2", "class1"))
RULES = ("classify", "filter")


def references(folder: Path) -> ReferenceStore:
    """Write a run with 20 regions of class1 in two clusters; the first is the object."""
    run = Run.at(str(folder / "run"))
    directions = random_directions(32, DIMENSIONS, 0)
    run.write(PROJECTION, projection_table(directions), "extract", "projection.parquet")
    features = np.random.default_rng(0).normal(size=(20, DIMENSIONS))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    centre = features.mean(axis=0).astype(np.float32)
    unit = centred(features.astype(np.float32), centre)
    numbers = [1 + at % 2 for at in range(20)]
    regions = [(number, "a", at, 0, 1.0) for at, number in enumerate(numbers)]
    run.finish(Plan("extract", {}, {}), {})
    own = Clustered(regions, list(zip(numbers, unit, strict=True)), centre)
    clustering = write_clusters(run, {"class1": own})
    verdicts = {("class1", 1): "object", ("class1", 2): "distractor", ("class2", 1): "distractor"}
    return ReferenceStore(run, clustering, verdicts)


@pytest.fixture
def context(tmp_path) -> RefineContext:
    store = references(tmp_path)
    commit = ShardCommit(store.run, Plan("refine/val", {}, {}), OUTPUTS)
    job = toynet_job(tmp_path, "class1", "class2")
    return RefineContext(commit, job, RefineConfig(rules=RULES, neighbors=5), 2, store)


@pytest.fixture
def detections(context) -> dict[tuple[str, str, str], dict]:
    """Refine a shard; return its rows by image, class and rule, maps as grids."""
    RefineShard(context)(noise_shard("s", LABELS, rejects=["s-3"]))
    table = context.commit.parts(DETECTIONS).rows(DETECTIONS, "s")
    grids = matrix(table["map"]).astype(np.float32).reshape(-1, 8, 8)
    rows = [row | {"map": grid} for row, grid in zip(table.to_pylist(), grids, strict=True)]
    return {(row["image_id"], row["class"], row["rule"]): row for row in rows}


def test_there_is_a_row_for_each_class_and_rule(context, detections) -> None:
    pairs = {(f"s-{at}", name) for at, own in enumerate(LABELS) for name in own}
    assert set(detections) == {(*pair, rule) for pair in pairs for rule in ("plain", *RULES)}
    assert context.commit.rejected()["image_id"].to_pylist() == ["s-3"]


def test_a_rule_decides_over_the_cells_by_their_own_features(context, detections) -> None:
    """The same from all cells at once: those that no rule looks at may not matter."""
    shard = noise_shard("s", LABELS)
    result = context.job.build().localize(shard.pixels, [(0, 0), (2, 0)])
    project = Projection.of(context.commit.run, CPU)
    found = context.store.read("class1")
    assert found is not None
    matcher = Matcher(found, 5, CPU)
    for at, raw in zip((0, 2), result.maps.numpy(), strict=True):
        plain = normalised(raw)
        cells = result.features[at].permute(1, 2, 0).reshape(64, 32)
        share = matcher.object_share(project(cells)).reshape(8, 8)
        assert share.std() > 0.1
        np.testing.assert_allclose(
            detections[f"s-{at}", "class1", "plain"]["map"], plain, atol=1e-3
        )
        for rule in RULES:
            grid = refined(plain, share, rule, context.config)
            row = detections[f"s-{at}", "class1", rule]
            assert not row["fallback"]
            np.testing.assert_allclose(row["map"], grid / grid.max(), atol=1e-3)
            boxes = map_boxes(grid / grid.max(), 20, 30, context.config.threshold, every=False)
            sides = [[box[side] for side in ("x0", "y0", "x1", "y1")] for box in row["boxes"]]
            np.testing.assert_allclose(sides, boxes, atol=1)


def test_rows_say_how_much_of_their_votes_is_guessed(context, detections) -> None:
    assert {row["guessed"] for row in detections.values()} == {0.0}
    guesses = {("class1", 1): 1.0, ("class1", 2): 0.5}
    store = replace(context.store, verdicts={("class1", 1): "object"}, guesses=guesses)
    commit = ShardCommit(store.run, Plan("refine/guess", {}, {}), OUTPUTS)
    RefineShard(replace(context, store=store, commit=commit))(noise_shard("s", LABELS))
    rows = commit.parts(DETECTIONS).rows(DETECTIONS, "s").to_pylist()
    own = [row for row in rows if row["class"] == "class1" and row["rule"] in RULES]
    assert {row["guessed"] for row in own} == {0.5}
    assert not any(row["fallback"] for row in own)
    rest = [row for row in rows if row["class"] == "class2" or row["rule"] == "plain"]
    assert {row["guessed"] for row in rest} == {0.0}


def test_a_class_without_an_object_cluster_falls_back_to_the_plain_map(detections) -> None:
    for image in ("s-1", "s-2"):
        plain = detections[image, "class2", "plain"]
        assert not plain["fallback"]
        for rule in RULES:
            row = detections[image, "class2", rule]
            assert row["fallback"]
            np.testing.assert_array_equal(row["map"], plain["map"])
            assert row["boxes"] == plain["boxes"]
