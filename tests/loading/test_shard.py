"""A shard is read in the order of the index; what cannot be used is a reject with its reason."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from raypipe.errors import InputError, StoreError
from raypipe.loading.shard import DecodedShard, ReadShard, Reject, ShardImage, commit_shard
from raypipe.storage.blob import range_uri
from raypipe.storage.commit import Output, ShardCommit
from raypipe.storage.images import ShardReader
from raypipe.storage.run import Plan, Run
from raypipe.tables import EMBEDDINGS, REJECTS
from tests.indexed import PART, write_index

MANY = 10**6


def reader(folder: Path, *uris: str | Path, limit: int = MANY) -> ReadShard:
    """Index images by their URIs, all but the last in shard `s`, and return what reads them."""
    run = Run.at(str(folder / "run"))
    rows = [
        {"image_id": str(uri).rsplit("/", 1)[-1], "uri": str(uri), "classes": ["cat", "dog"],
         "ordinals": [at, 7], "mask_uri": None, "shard": "s" if uri is not uris[-1] else "t"}
        for at, uri in enumerate(uris)
    ]  # fmt: skip
    write_index(run, "train", rows)
    return ReadShard(ShardReader.of(run, "train"), 16, limit)


def decoded(read: ReadShard, shard: str = "s") -> DecodedShard:
    return read.decoded({"shard": shard, "part": PART, "images": 0})


def drawn(path: Path, colour=(255, 0, 0), size=(30, 20)) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def test_a_shard_is_read_in_order_and_its_bad_inputs_are_rejected(tmp_path) -> None:
    drawn(tmp_path / "red.png")
    drawn(tmp_path / "blue.png", (0, 0, 255), (10, 40))
    drawn(tmp_path / "huge.png", size=(300, 300))
    drawn(tmp_path / "other.png")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "folder.png").mkdir()
    names = ("red.png", "empty.png", "missing.png", "text.png", "huge.png", "folder.png",
             "blue.png", "other.png")  # fmt: skip
    uris = [str(tmp_path / name) for name in names]
    read = reader(tmp_path, "nosuch://bucket/far.png", *uris, limit=10_000)
    shard = decoded(read)
    assert shard.name == "s"
    # In the order of the files, not of the index.
    assert shard.images == (
        ShardImage("blue.png", str(tmp_path / "blue.png"), ("cat", "dog"), (7, 7), 10, 40),
        ShardImage("red.png", str(tmp_path / "red.png"), ("cat", "dog"), (1, 7), 30, 20),
    )
    np.testing.assert_array_equal(shard.pixels[:, 5, 5], [[0, 0, 255], [255, 0, 0]])
    assert {item.image_id: item.reason for item in shard.rejects} == {
        "empty.png": "empty", "missing.png": "missing", "text.png": "undecodable",
        "huge.png": "too_large", "folder.png": "missing", "far.png": "missing",
    }  # fmt: skip
    assert REJECTS.build([vars(item) for item in shard.rejects]).num_rows == 6
    assert not shard.retried
    assert sorted(shard.image_ids) == sorted(["far.png", *names[:-1]])
    assert decoded(read, "t").image_ids == ["other.png"]


def test_a_shard_without_any_good_image(tmp_path) -> None:
    shard = decoded(reader(tmp_path, tmp_path / "a", tmp_path / "b"))
    assert shard.pixels.shape == (0, 16, 16, 3)
    assert [item.reason for item in shard.rejects] == ["missing"]


def test_images_within_a_file_are_read_too(tmp_path) -> None:
    red, blue = (
        drawn(tmp_path / f"{name}.png", colour).read_bytes()
        for name, colour in (("red", (255, 0, 0)), ("blue", (0, 0, 255)))
    )
    (tmp_path / "both").write_bytes(red + blue)
    ranges = ((0, len(red)), (len(red), len(blue)), (len(red), len(blue) + 1))
    uris = [range_uri(str(tmp_path / "both"), at, size) for at, size in ranges]
    shard = decoded(reader(tmp_path, *uris, tmp_path / "red.png"))
    np.testing.assert_array_equal(shard.pixels[:, 5, 5], [[255, 0, 0], [0, 0, 255]])
    assert [item.reason for item in shard.rejects] == ["missing"], "the last goes beyond the end"


def test_a_store_that_cannot_be_reached_is_no_fault_of_the_images(tmp_path) -> None:
    """Else an hour without network would make rejects of a whole set."""
    far = "s3://bucket/b.png?endpoint_override=127.0.0.1:1"  # where nobody listens
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1: no connection"):
        decoded(reader(tmp_path, drawn(tmp_path / "a.png"), far, tmp_path / "c"))


@pytest.mark.parametrize("damage", ["gone", "text"])
def test_an_index_that_cannot_be_read_is_named(tmp_path, damage) -> None:
    read = reader(tmp_path, tmp_path / "a", tmp_path / "b")
    place = Path(read.images.parts.place(PART).path)
    place.unlink() if damage == "gone" else place.write_text("hello")
    with pytest.raises(InputError, match=place.name):
        decoded(read)


def test_a_decoded_shard_survives_arrow() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2, 8, 8, 3), np.uint8)
    images = (ShardImage("ä", "/x y", ("cat",), (3,), 5, 6), ShardImage("b", "/b", (), (), 7, 8))
    rejects = (Reject("c", "/c", "empty", "zero bytes"),)
    for retried in (False, True):
        shard = DecodedShard("s", images, pixels, rejects, retried)
        table = pa.Table.from_pylist([shard.to_row()])
        again = DecodedShard.from_row(table.to_pylist()[0])
        np.testing.assert_array_equal(again.pixels, pixels)
        assert vars(again) | {"pixels": None} == vars(shard) | {"pixels": None}
        assert again.image_ids == ["ä", "b", "c"]


# -- commit and retry -----------------------------------------------------------------------------


def commit_of(read: ReadShard) -> ShardCommit:
    run = Run.at(read.images.parts.folder.path.split("/index/")[0])
    return ShardCommit(run, Plan("fit", {}, {}), (Output(EMBEDDINGS, ("image_id",)),))


def work(commit: ShardCommit, shard: DecodedShard) -> None:
    """Commit a shard: an image's embedding is its red."""
    rows = [{"image_id": image.image_id, "embedding": [float(pixels[0, 0, 0])]}
            for image, pixels in zip(shard.images, shard.pixels, strict=True)]  # fmt: skip
    commit_shard(commit, shard, shard.rejects, EMBEDDINGS.build(rows))


def test_a_retry_reads_the_rejects_only_and_adds_what_is_well_now(tmp_path) -> None:
    read = reader(tmp_path, drawn(tmp_path / "a.png", (10, 0, 0)), tmp_path / "b.png",
                  tmp_path / "c.png", tmp_path / "d.png")  # fmt: skip
    commit = commit_of(read)
    work(commit, decoded(read))
    drawn(tmp_path / "b.png", (20, 0, 0))
    (tmp_path / "a.png").unlink()  # it is done, so nobody looks at it again
    reread = ReadShard(read.images, 16, MANY, commit.rejects)
    again = decoded(reread)
    assert again.retried
    assert sorted(again.image_ids) == ["b.png", "c.png"]
    work(commit, again)
    assert commit.parts(EMBEDDINGS).rows(EMBEDDINGS, "s").to_pylist() == [
        {"image_id": "a.png", "embedding": [10]}, {"image_id": "b.png", "embedding": [20]},
    ]  # fmt: skip
    assert [item["image_id"] for item in commit.rejected().to_pylist()] == ["c.png"]
    assert decoded(reread).image_ids == ["c.png"]


def test_what_goes_to_another_process_is_small(tmp_path) -> None:
    read = reader(tmp_path, drawn(tmp_path / "a.png"), tmp_path / "b")
    commit = commit_of(read)
    sent = pickle.dumps((read, commit))
    assert len(sent) < 2000
    read, commit = pickle.loads(sent)
    work(commit, decoded(read))
    assert commit.done() == {"s"}
