"""What an actor makes of a shard: an embedding an image."""

from __future__ import annotations

import numpy as np

from raypipe.columns import matrix
from raypipe.fit.flow import OUTPUTS, EmbedContext, EmbedShard
from raypipe.storage.commit import ShardCommit
from raypipe.storage.run import Plan, Run
from raypipe.tables import EMBEDDINGS
from tests.drawn import noise_shard, toynet_job


def test_every_image_has_its_embedding_and_rejects_are_kept(tmp_path) -> None:
    commit = ShardCommit(Run.at(str(tmp_path / "run")), Plan("fit", {}, {}), OUTPUTS)
    job = toynet_job(tmp_path)
    shard = noise_shard("s", [("cat",), (), ("dog",)], rejects=["s-3"])
    EmbedShard(EmbedContext(commit, job, batch_size=2))(shard)
    table = commit.parts(EMBEDDINGS).rows(EMBEDDINGS, "s")
    assert table["image_id"].to_pylist() == ["s-0", "s-1", "s-2"]
    expected = job.build().embed(shard.pixels)
    assert expected.shape == (3, 96)
    np.testing.assert_allclose(matrix(table["embedding"]), expected, rtol=1e-3, atol=1e-4)
    assert commit.rejected()["image_id"].to_pylist() == ["s-3"]
