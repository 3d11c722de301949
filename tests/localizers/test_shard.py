"""A localizer over a shard: batches, images without labels, and numbers that are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from raypipe.datasets.base import ClassRecord
from raypipe.loading.shard import DecodedShard, Reject, ShardImage
from raypipe.localizers.base import Head
from raypipe.localizers.cam import Cam
from raypipe.localizers.job import LocalizerJob
from raypipe.localizers.network import default_batch
from raypipe.localizers.shard import (
    LocalizedBatch,
    LocalizedImage,
    ShardLocalizer,
    map_columns,
    sizes,
)
from tests.localizers.conftest import random_state

NAMES = ("class4", "class1", "class7")
RECORDS = tuple(ClassRecord(name) for name in NAMES)


@pytest.fixture
def job(network) -> LocalizerJob:
    return LocalizerJob(network(), RECORDS)


@pytest.fixture
def localizer(network) -> Cam:
    return Cam(network(), RECORDS, None)


@pytest.fixture
def shard(pixels) -> DecodedShard:
    labels = [("class1",), ("class7", "class4"), (), ("class4",), ("class1", "class4", "class7")]
    images = tuple(
        ShardImage(f"i{at}", f"/i{at}", own, tuple(range(len(own))), 30, 20)
        for at, own in enumerate(labels)
    )
    return DecodedShard("s", images, pixels(5), ())


def batches(job: LocalizerJob, shard: DecodedShard, batch: int) -> list[LocalizedBatch]:
    rejects: list[Reject] = []
    found = list(ShardLocalizer(job, batch).run(shard, rejects))
    assert rejects == []
    return found


def localized(job: LocalizerJob, shard: DecodedShard, batch: int) -> list[LocalizedImage]:
    return [item for own in batches(job, shard, batch) for item in own.items]


@pytest.mark.parametrize("name", ["cam", "gradcam"])
def test_the_size_of_a_batch_changes_nothing(name, network, shard) -> None:
    job = LocalizerJob(network(name=name), RECORDS)
    (whole,) = batches(job, shard, 64)
    assert [item.image for item in whole.items] == list(shard.images)
    for size in (1, 2, 5):
        found = batches(job, shard, size)
        assert [len(batch.items) for batch in found] == [size] * (5 // size) + [1] * (5 % size)
        others = [item for batch in found for item in batch.items]
        for one, other in zip(whole.items, others, strict=True):
            assert one.classes == other.classes
            np.testing.assert_allclose(one.maps, other.maps, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(one.scores, other.scores, rtol=1e-3, atol=1e-4)
        features = torch.cat([batch.features for batch in found])
        torch.testing.assert_close(features, whole.features, rtol=1e-3, atol=1e-4)


def test_maps_belong_to_the_classes_of_the_image(job, localizer, shard) -> None:
    for at, item in enumerate(localized(job, shard, 2)):
        assert item.maps.shape == (len(item.classes), 6, 6)
        assert item.maps.min() >= 0
        assert np.isin(item.maps.max(axis=(1, 2)), [0, 1]).all()
        for place, name in enumerate(item.classes):
            alone = localizer.localize(shard.pixels[at : at + 1], [(0, NAMES.index(name))])
            raw = alone.maps[0].numpy()
            np.testing.assert_allclose(item.peaks[place], raw.max(), rtol=1e-3)
            np.testing.assert_allclose(
                item.scores[place], alone.scores[0, NAMES.index(name)], rtol=1e-3, atol=1e-4
            )
            if raw.max() > 0:
                np.testing.assert_allclose(
                    item.maps[place] * raw.max(), np.maximum(raw, 0), rtol=1e-2, atol=1e-3
                )


def test_an_image_without_labels_is_searched_for_what_the_network_sees(
    job, localizer, shard
) -> None:
    item = localized(job, shard, 2)[2]
    best = int(localizer.localize(shard.pixels[2:3], []).scores[0].argmax())
    assert item.classes == (NAMES[best],)
    assert item.image.classes == ()


def test_vectors_are_the_features_at_the_cells(job, shard) -> None:
    (batch,) = batches(job, shard, 5)
    cells = [(3, np.array([[0, 5], [2, 1]])), (0, np.empty((0, 2), np.intp)),
             (1, np.array([[4, 4]]))]  # fmt: skip
    found = batch.vectors(cells)
    expected = [batch.features[image, :, row, col]
                for image, row, col in ((3, 0, 5), (3, 2, 1), (1, 4, 4))]  # fmt: skip
    torch.testing.assert_close(found, torch.stack(expected))
    assert batch.vectors([]).shape == (0, 256)


def test_features_and_vectors_keep_the_networks_precision(network, shard) -> None:
    job = LocalizerJob(network(precision="bfloat16"), RECORDS)
    (batch,) = batches(job, shard, 5)
    assert batch.features.dtype == torch.bfloat16
    assert batch.vectors([(0, np.array([[0, 0]]))]).dtype == batch.features.dtype


def test_embeddings_come_in_the_order_of_the_images(job, localizer, shard) -> None:
    found = list(ShardLocalizer(job, 2).embed(shard))
    assert [len(rows) for rows in found] == [2, 2, 1]
    np.testing.assert_allclose(
        np.concatenate(found), localizer.embed(shard.pixels), rtol=1e-3, atol=1e-4
    )


def test_what_a_caller_has_to_know_of_the_network(job) -> None:
    assert sizes(job) == (96, 256)


def test_an_empty_shard_gives_nothing(job) -> None:
    empty = DecodedShard("s", (), np.empty((0, 96, 96, 3), np.uint8), ())
    assert batches(job, empty, 4) == []
    assert list(ShardLocalizer(job).embed(empty)) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU takes 64 images whatever their size")
@pytest.mark.parametrize(("size", "images"), [(224, 8), (448, 2), (160, 16), (2000, 1)])
def test_a_batch_that_stays_in_the_caches(size, images) -> None:
    assert default_batch(size) == images


# -- numbers that are none ------------------------------------------------------------------------


def test_what_is_no_number_is_a_reject_and_spares_the_others(network, shard) -> None:
    weight = np.zeros((3, 512), np.float32)
    weight[:, 0] = 1
    weight[2] = np.nan  # class7
    job = LocalizerJob(network(), RECORDS, Head(NAMES, weight, np.zeros(3, np.float32)))
    rejects: list[Reject] = []
    found = [batch.items for batch in ShardLocalizer(job, 3).run(shard, rejects)]
    assert [item.image.image_id for items in found for item in items] == ["i0", "i3"]
    assert [(item.image_id, item.uri, item.reason) for item in rejects] == [
        ("i1", "/i1", "non_finite"),
        ("i2", "/i2", "non_finite"),  # without labels: nobody can say which class scores most
        ("i4", "/i4", "non_finite"),
    ]


BLACK, WHITE = 0, 255


@pytest.fixture
def overflowing(network, tmp_path) -> Callable[[float], LocalizerJob]:
    """Return a toynet in bfloat16 with one huge weight, on a channel that is 0 for dark images."""

    def make(huge: float) -> LocalizerJob:
        state = random_state("toynet")
        for layer in ("mid.0", "mid.1", "trunk.0", "trunk.1"):
            # Batch norms that change nothing.
            state[f"{layer}.1.weight"].fill_(1)
            state[f"{layer}.1.running_var"].fill_(1)
            state[f"{layer}.1.running_mean"].zero_()
            state[f"{layer}.1.bias"].zero_()
        state["mid.0.0.weight"][0] = 0.1  # brightness above the mean
        state["mid.1.0.weight"][0] = 0
        state["mid.1.0.weight"][0, 0] = 0.1  # passed on alone
        state["trunk.0.0.weight"][0, 0] = huge
        path = tmp_path / "toynet.pth"
        torch.save(state, path)
        return LocalizerJob(network("toynet", weights=str(path), precision="bfloat16"), RECORDS)

    return make


def flat(*levels: int, labels: tuple[str, ...] = ("class1",)) -> DecodedShard:
    """Return images of one grey level each."""
    images = tuple(ShardImage(f"i{at}", f"/i{at}", labels, (0,)) for at in range(len(levels)))
    pixels = np.stack([np.full((96, 96, 3), level, np.uint8) for level in levels])
    return DecodedShard("s", images, pixels, ())


@pytest.mark.parametrize("labels", [("class1",), ()])
def test_what_bfloat16_cannot_hold_is_tried_again_in_float32(overflowing, labels) -> None:
    # bfloat16 ends at 3.39e38, float32 at 3.403e38: 0 times the weight is 0 there, here no number.
    job = overflowing(3.4e38)
    rejects: list[Reject] = []
    shard = flat(BLACK, WHITE, BLACK, labels=labels)
    found = [batch for batch in ShardLocalizer(job, 2).run(shard, rejects) if batch.items]
    assert [item.image.image_id for batch in found for item in batch.items] == ["i0", "i2"]
    assert [(item.image_id, item.reason) for item in rejects] == [("i1", "non_finite")]
    float32 = replace(job, config=job.config.model_copy(update={"precision": "float32"}))
    (exact,) = batches(float32, flat(BLACK, labels=labels), 1)
    for batch in found:
        torch.testing.assert_close(batch.features, exact.features)
        np.testing.assert_allclose(batch.items[0].maps, exact.items[0].maps)
        assert batch.items[0].classes == exact.items[0].classes


def test_a_batch_without_its_failures_keeps_items_and_features_together(overflowing) -> None:
    job = overflowing(3e38)  # overflows on white images in either precision
    rejects: list[Reject] = []
    (batch,) = ShardLocalizer(job, 4).run(flat(BLACK, WHITE, 20, WHITE), rejects)
    assert [item.image.image_id for item in batch.items] == ["i0", "i2"]
    assert [item.image_id for item in rejects] == ["i1", "i3"]
    (black,), (grey,) = (batches(job, flat(level), 1) for level in (BLACK, 20))
    assert not torch.equal(black.features, grey.features)
    torch.testing.assert_close(batch.features, torch.cat([black.features, grey.features]))


def test_columns_of_maps(job, shard) -> None:
    items = localized(job, shard, 5)
    columns = map_columns([(items[1], 0), (items[1], 1), (items[0], 0)])
    assert columns["image_id"] == ["i1", "i1", "i0"]
    assert columns["class"] == ["class7", "class4", "class1"]
    assert (columns["width"], columns["height"]) == ([30] * 3, [20] * 3)
    assert columns["grid_width"] == columns["grid_height"] == [6] * 3
    np.testing.assert_allclose(columns["map"][1].as_py(), items[1].maps[1].ravel(), atol=1e-3)
    other = map_columns([(items[0], 0)], [np.arange(6, dtype=np.float32).reshape(2, 3)])
    assert (other["grid_width"], other["grid_height"]) == ([3], [2])
    assert other["map"].to_pylist() == [[0, 1, 2, 3, 4, 5]]
