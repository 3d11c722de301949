"""A localizer over a shard: batches, images without labels, and numbers that are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raypipe.datasets.base import ClassRecord
from raypipe.loading.shard import DecodedShard, Reject, ShardImage
from raypipe.localizers.base import Head
from raypipe.localizers.cam import Cam
from raypipe.localizers.gradcam import GradCam
from raypipe.localizers.shard import LocalizedImage, localize_shard, map_columns

NAMES = ("class4", "class1", "class7")


@pytest.fixture
def localizer(network) -> Cam:
    return Cam(network(), [ClassRecord(name) for name in NAMES], None)


@pytest.fixture
def shard(pixels) -> DecodedShard:
    labels = [("class1",), ("class7", "class4"), (), ("class4",), ("class1", "class4", "class7")]
    images = tuple(
        ShardImage(f"i{at}", f"/i{at}", own, tuple(range(len(own))), 30, 20)
        for at, own in enumerate(labels)
    )
    return DecodedShard("s", images, pixels(5), ())


def localized(localizer, shard: DecodedShard, batch: int) -> list[tuple[LocalizedImage, object]]:
    rejects: list[Reject] = []
    found = list(localize_shard(localizer, shard, batch, rejects))
    assert rejects == []
    return found


@pytest.mark.parametrize("kind", [Cam, GradCam])
def test_the_size_of_a_batch_changes_nothing(kind, network, shard) -> None:
    localizer = kind(network(), [ClassRecord(name) for name in NAMES], None)
    whole = localized(localizer, shard, 64)
    assert [item.image for item, _ in whole] == list(shard.images)
    for batch in (1, 2, 5):
        for (one, features), (other, others) in zip(
            whole, localized(localizer, shard, batch), strict=True
        ):
            assert one.classes == other.classes
            np.testing.assert_allclose(one.maps, other.maps, rtol=1e-3, atol=1e-4)
            np.testing.assert_allclose(one.scores, other.scores, rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(features, others, rtol=1e-3, atol=1e-4)


def test_maps_belong_to_the_classes_of_the_image(localizer, shard) -> None:
    for at, (item, features) in enumerate(localized(localizer, shard, 2)):
        assert item.maps.shape == (len(item.classes), 6, 6)
        assert features.shape == (256, 6, 6)
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


def test_an_image_without_labels_is_searched_for_what_the_network_sees(localizer, shard) -> None:
    item = localized(localizer, shard, 2)[2][0]
    best = int(localizer.localize(shard.pixels[2:3], []).scores[0].argmax())
    assert item.classes == (NAMES[best],)
    assert item.image.classes == ()


def test_what_is_no_number_is_a_reject_and_spares_the_others(network, shard) -> None:
    weight = np.zeros((3, 512), np.float32)
    weight[:, 0] = 1
    weight[2] = np.nan  # class7
    head = Head(NAMES, weight, np.zeros(3, np.float32))
    localizer = Cam(network(), [ClassRecord(name) for name in NAMES], head)
    labelled = DecodedShard("s", shard.images[:2] + shard.images[3:], shard.pixels[:4], ())
    rejects: list[Reject] = []
    found = [item.image.image_id for item, _ in localize_shard(localizer, labelled, 3, rejects)]
    assert found == ["i0", "i3"]
    assert [(item.image_id, item.uri, item.reason) for item in rejects] == [
        ("i1", "/i1", "non_finite"), ("i4", "/i4", "non_finite"),
    ]  # fmt: skip


def test_an_empty_shard_gives_nothing(localizer) -> None:
    empty = DecodedShard("s", (), np.empty((0, 96, 96, 3), np.uint8), ())
    assert localized(localizer, empty, 4) == []


def test_columns_of_maps(localizer, shard) -> None:
    items = [item for item, _ in localized(localizer, shard, 5)]
    columns = map_columns([(items[1], 0), (items[1], 1), (items[0], 0)])
    assert columns["image_id"] == ["i1", "i1", "i0"]
    assert columns["class"] == ["class7", "class4", "class1"]
    assert (columns["width"], columns["height"]) == ([30] * 3, [20] * 3)
    assert columns["grid_width"] == columns["grid_height"] == [6] * 3
    np.testing.assert_allclose(columns["map"][1].as_py(), items[1].maps[1].ravel(), atol=1e-3)
    other = map_columns([(items[0], 0)], [np.arange(6, dtype=np.float32).reshape(2, 3)])
    assert (other["grid_width"], other["grid_height"]) == ([3], [2])
    assert other["map"].to_pylist() == [[0, 1, 2, 3, 4, 5]]
