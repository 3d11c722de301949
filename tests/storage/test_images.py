"""Reading an index back: whole, or one shard of it."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from raypipe.errors import InputError
from raypipe.storage.images import ShardReader, read_boxes, read_images, read_shards
from raypipe.storage.parts import Parts
from raypipe.storage.run import Plan, Run
from raypipe.tables import BOXES, IMAGES
from tests.indexed import PART, write_index


def image(name: str, shard: str) -> dict[str, object]:
    return {"image_id": name, "uri": f"/{name}", "classes": ["cat"], "ordinals": [0],
            "mask_uri": None, "shard": shard}  # fmt: skip


BOX = {"image_id": "a", "class": "cat", "x0": 0, "y0": 1, "x1": 2, "y1": 3, "difficult": False}


@pytest.fixture
def run(tmp_path) -> Run:
    run = Run.at(str(tmp_path / "run"))
    write_index(run, "val", [image("b", "s1"), image("a", "s1"), image("c", "s2")], boxes=[BOX])
    return run


def test_a_set_is_read_whole_or_by_column(run) -> None:
    whole = read_images(run, "val")
    assert whole.schema == IMAGES.schema
    assert whole["image_id"].to_pylist() == ["b", "a", "c"]
    assert read_images(run, "val", ["uri"]).to_pydict() == {"uri": ["/b", "/a", "/c"]}
    assert read_boxes(run, "val").to_pylist() == [BOX]
    assert read_shards(run, "val").to_pylist() == [
        {"shard": "s1", "part": PART, "images": 2}, {"shard": "s2", "part": PART, "images": 1},
    ]  # fmt: skip


def test_all_parts_are_read_in_order(run) -> None:
    plan = Plan("index/val", {}, {})
    Parts(run, plan, "images").place("00001").write_table(IMAGES.build([image("d", "s3")]))
    Parts(run, plan, "boxes").place("00001").write_table(BOXES.build([BOX | {"image_id": "d"}]))
    assert read_images(run, "val", ["image_id"])["image_id"].to_pylist() == ["b", "a", "c", "d"]
    assert read_boxes(run, "val")["image_id"].to_pylist() == ["a", "d"]


def test_a_set_without_images_has_columns_all_the_same(run) -> None:
    write_index(run, "empty", [])
    assert read_images(run, "empty").schema == IMAGES.schema
    assert read_boxes(run, "empty").num_rows == read_shards(run, "empty").num_rows == 0


def test_one_shard_is_read_alone(run) -> None:
    reader = ShardReader.of(run, "val")
    assert reader.read("s1", PART)["image_id"].to_pylist() == ["b", "a"]
    assert reader.read("s2", PART)["image_id"].to_pylist() == ["c"]
    place = reader.parts.place(PART)
    assert pq.ParquetFile(place.path).num_row_groups == 2, "the others are not even read"


def test_a_set_that_is_not_indexed_is_refused(run) -> None:
    with pytest.raises(InputError, match="step index/train has not been done"):
        read_images(run, "train")
