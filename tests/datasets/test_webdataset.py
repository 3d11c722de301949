"""WebDataset shards: samples, labels, splits, and what must never be opened."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest

from raypipe.config import DatasetConfig
from raypipe.datasets.base import ImageRecord
from raypipe.datasets.webdataset import WebDataset
from raypipe.errors import InputError
from raypipe.storage.blob import read_blob
from raypipe.storage.location import Location
from tests.datasets.conftest import Stored, tar_of


def shard(root: Path, name: str, *members: tuple[str, bytes | str]) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        tar_of(*((key, data.encode() if isinstance(data, str) else data) for key, data in members))
    )
    return root


def opened(root: Path | Location, split: str = "train") -> WebDataset:
    place = root if isinstance(root, Location) else Location.of(str(root))
    return WebDataset(DatasetConfig(name="webdataset", split=split), place)


def records(root: Path | Location, split: str = "train") -> list[ImageRecord]:
    return list(opened(root, split).images(split))


def labels(root: Path) -> dict[str, tuple[str, ...]]:
    return {record.image_id: record.classes for record in records(root)}


def test_images_are_read_where_they_lie(tmp_path, stored: Stored) -> None:
    root = shard(tmp_path / "wds", "train-0.tar", ("a.cls", "1"), ("a.jpg", b"image a"),
                 ("b.jpg", b"image b" * 999), ("b.cls", "0\n"))  # fmt: skip
    shard(root, "train-1.tar", ("c.jpg", b"image c"), ("c.json", '{"label": 1}'))
    shard(root, "val-0.tar", ("v.png", b"image v"), ("v.cls", "dog"))
    (root / "classes.txt").write_text("cat\ndog\n")
    place = stored(root)
    found = list(opened(place).images("train"))
    assert [(item.image_id, item.classes) for item in found] == [
        ("train-0/a", ("dog",)), ("train-0/b", ("cat",)), ("train-1/c", ("dog",)),
    ]  # fmt: skip
    assert [read_blob(item.uri) for item in found] == [b"image a", b"image b" * 999, b"image c"]
    assert found[0].group == "", "members can be read one by one"
    (val,) = opened(place).images("val")
    assert (val.image_id, val.classes, read_blob(val.uri)) == ("val-0/v", ("dog",), b"image v")
    assert [item.name for item in opened(place).classes()] == ["cat", "dog"]


def test_classes_without_a_list_are_those_in_the_split(tmp_path, stored: Stored) -> None:
    root = shard(tmp_path / "w", "train.tar", ("a.jpg", "x"), ("a.cls", "10"), ("b.jpg", "x"),
                 ("b.cls", "2"), ("c.jpg", "x"), ("c.cls", "zebra"), ("d.jpg", "x"))  # fmt: skip
    dataset = opened(stored(root))
    assert [item.name for item in dataset.classes()] == ["2", "10", "zebra"]
    first = list(dataset.images("train"))
    assert first == list(dataset.images("train")), "it can be listed again"
    assert [item.classes for item in first] == [("10",), ("2",), ("zebra",), ()]


def test_classes_and_images_are_one_scan(tmp_path, monkeypatch) -> None:
    root = shard(tmp_path, "0.tar", ("a.jpg", "x"), ("a.cls", "1"))
    dataset = opened(root)
    scanned = []
    whole = Location.open
    monkeypatch.setattr(Location, "open", lambda self: (scanned.append(self.name), whole(self))[1])
    dataset.classes()
    assert len(list(dataset.images("train"))) == 1
    assert scanned == ["0.tar"]


def test_a_key_ends_at_the_first_dot_of_the_base_name(tmp_path) -> None:
    root = shard(
        tmp_path, "0.tar", ("v1.5/a.b/x.jpg", "x"), ("v1.5/a.b/x.cls", "1"),
        ("v1.5/a.b/y.seg.png", "not the image"), ("v1.5/a.b/y.JPG", "x"), ("z.tar.gz", "-"),
    )  # fmt: skip
    assert labels(root) == {"0/v1.5/a.b/x": ("1",), "0/v1.5/a.b/y": ()}


def test_of_several_images_in_a_sample_the_photograph_is_taken(tmp_path) -> None:
    root = shard(tmp_path, "0.tar", ("a.png", b"mask"), ("a.jpg", b"photo"), ("a.webp", b"w"))
    (record,) = records(root)
    assert read_blob(record.uri) == b"photo"


@pytest.mark.parametrize(
    ("content", "expected"),
    [({"class": "cat"}, ("cat",)), ({"classes": ["cat", "dog", "cat"]}, ("cat", "dog")),
     ({"label": 7}, ("7",)), ({"labels": [1, 2]}, ("1", "2")), ({"label": -1}, ()),
     ({"class": None}, ()), ({"labels": []}, ()), ({"caption": "a cat"}, ()), ([1, 2], ())],
)  # fmt: skip
def test_labels_in_json(tmp_path, content, expected) -> None:
    root = shard(tmp_path, "0.tar", ("a.jpg", "x"), ("a.json", json.dumps(content)))
    assert labels(root) == {"0/a": expected}


@pytest.mark.parametrize("order", [("json", "cls"), ("cls", "json")])
def test_cls_goes_before_json(tmp_path, order) -> None:
    texts = {"cls": "1", "json": '{"label": 2}'}
    members = [(f"a.{kind}", texts[kind]) for kind in order]
    assert labels(shard(tmp_path, "0.tar", *members, ("a.jpg", "x"))) == {"0/a": ("1",)}


@pytest.mark.faults
@pytest.mark.parametrize(
    ("member", "reason"),
    [(("a.cls", "3"), "label 3 is none of the 2 classes of .*classes.txt"),
     (("a.cls", "cow"), "label 'cow' is none"), (("a.cls", b"\xff\xfe"), "not UTF-8"),
     (("a.json", "{"), "not JSON"), (("a.json", "[" * 100_000), "not JSON"),
     (("a.json", '{"label": 1.5}'), "label 1.5"), (("a.json", '{"label": true}'), "label True"),
     (("a.json", '{"label": [[1]]}'), "label"), (("a.json", b" " * (1 << 20) + b"{}"), "so long")],
)  # fmt: skip
def test_a_label_that_cannot_be_meant_is_named(tmp_path, member, reason) -> None:
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    root = shard(tmp_path, "s.tar", ("a.jpg", "x"), member)
    with pytest.raises(InputError, match=reason) as caught:
        records(root)
    assert f"s.tar: {member[0]}: " in caught.value.message


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self):
        return os.mkdir, (str(self._path),)


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["pyd", "pkl", "pickle", "pth", "cls"])
def test_no_pickle_is_ever_loaded(tmp_path, kind) -> None:
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"), protocol=0)
    root = shard(tmp_path / "w", "0.tar", ("a.jpg", "x"), (f"a.{kind}", bomb))
    (record,) = records(root)
    assert kind == "cls" or record.classes == ()
    opened(root).classes()
    assert not (tmp_path / "exploded").exists()
    pickle.loads(bomb)
    assert (tmp_path / "exploded").exists(), "the bomb is a real one"


@pytest.mark.parametrize(
    ("names", "split", "found"),
    [(["0.tar", "1.tar"], "anything", ["0", "1"]),
     (["train/0.tar", "val/0.tar"], "val", ["val/0"]),
     (["imagenet1k-train-00.tar", "imagenet1k-validation-00.tar"], "val",
      ["imagenet1k-validation-00"]),
     (["train/valley.tar", "test/x.tar"], "train", ["train/valley"]),
     (["data/train-0-of-2.tar", "data/train-1-of-2.tar", "data/dev.tar", "more.tar"], "training",
      ["data/train-0-of-2", "data/train-1-of-2"]),
     (["train/test-0.tar", "train/train-0.tar"], "test", ["train/test-0"])],
)  # fmt: skip
def test_splits_by_the_names_of_folders_and_shards(tmp_path, names, split, found) -> None:
    for name in names:
        shard(tmp_path, name, ("a.jpg", "x"))
    assert [record.image_id.removesuffix("/a") for record in records(tmp_path, split)] == found


def test_an_unknown_split_is_refused_with_those_there_are(tmp_path) -> None:
    shard(tmp_path, "train-0.tar", ("a.jpg", "x"))
    shard(tmp_path, "test-0.tar", ("a.jpg", "x"))
    with pytest.raises(InputError, match="no split 'val'") as caught:
        records(tmp_path, "val")
    assert caught.value.remedy == "--split is one of test, train"


def test_one_shard_is_a_dataset(tmp_path, stored: Stored) -> None:
    root = shard(tmp_path / "w", "some.tar", ("a.jpg", b"1"), ("a.cls", "0"))
    shard(root, "other.tar", ("b.jpg", b"2"))
    (record,) = opened(stored(root) / "some.tar").images("train")
    assert (record.image_id, read_blob(record.uri)) == ("some/a", b"1")


@pytest.mark.faults
def test_roots_that_hold_no_shards(tmp_path) -> None:
    with pytest.raises(InputError, match="not found"):
        opened(tmp_path / "no")
    with pytest.raises(InputError, match="no tar shards in it"):
        opened(tmp_path)
    shard(tmp_path, "0.tar.gz", ("a.jpg", "x"))
    with pytest.raises(InputError, match=r"0\.tar\.gz: compressed") as caught:
        opened(tmp_path)
    assert "decompress" in caught.value.remedy
    shard(tmp_path / "b", "0.tar", ("a.npy", "x"), ("a.cls", "0"))
    with pytest.raises(InputError, match=r"0\.tar: no images in it, only cls, npy"):
        records(tmp_path / "b")


@pytest.mark.faults
@pytest.mark.parametrize(
    ("names", "reason"), [("a\n\nb", "class 1 is empty"), ("a\nb\na", "class 2 'a' comes twice")]
)
def test_a_list_of_classes_that_cannot_be_numbered(tmp_path, names, reason) -> None:
    shard(tmp_path, "0.tar", ("a.jpg", "x"))
    (tmp_path / "classes.txt").write_text(names)
    with pytest.raises(InputError, match=rf"classes\.txt: {reason}"):
        opened(tmp_path)


def test_the_thousand_classes_of_ilsvrc_know_their_outputs(tmp_path) -> None:
    shard(tmp_path, "0.tar", ("a.jpg", "x"))
    words = ["tench, Tinca tinca", "goldfish", *map(str, range(997)), "toilet tissue, paper"]
    wnids = [f"n{number:08d}" for number in range(1000)]
    for names in (words, wnids):
        (tmp_path / "classes.txt").write_text("\n".join(names))
        found = opened(tmp_path).classes()
        assert [item.network_index for item in found] == list(range(1000))
    for names in (words[::-1], words[:-1], wnids[::-1], [f"class {name}" for name in words]):
        (tmp_path / "classes.txt").write_text("\n".join(names))
        assert {item.network_index for item in opened(tmp_path).classes()} == {None}
    (tmp_path / "classes.txt").write_text("\n".join(words))
    assert opened(tmp_path).classes()[0].title == "tench"
