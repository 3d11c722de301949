"""A split as tables: labels, shards, names and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from raypipe.config import DatasetConfig
from raypipe.datasets import index
from raypipe.datasets.base import ClassRecord
from raypipe.errors import InputError
from raypipe.storage.images import ShardReader, read_boxes, read_images, read_shards
from raypipe.storage.run import Run
from raypipe.tables import CLASSES

BOX = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>2</ymax></bndbox>"


def folder(root: Path, counts: dict[str, int]) -> Path:
    """Write a folder of so many images a class; a name with `.` is an image itself."""
    for name, count in counts.items():
        for number in range(count):
            path = root / name / f"{number:03d}.jpg" if "." not in name else root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
    return root


def voc(root: Path, images: dict[str, str]) -> Path:
    """Write a VOC tree of images by their labels, one object a word."""
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    for name, words in images.items():
        objects = "".join(f"<object><name>{word}</name>{BOX}</object>" for word in words.split())
        (root / "Annotations" / f"{name}.xml").write_text(f"<a>{objects}</a>")
    (root / "ImageSets" / "Main" / "train.txt").write_text("\n".join(images))
    return root


def indexed(run_dir: Path, root: Path, *, searched=(), known=(), **config: Any) -> Run:
    run = Run.at(str(run_dir))
    settings = DatasetConfig(root=str(root), **config)
    index.execute(run, settings, index.plan(settings, "train", searched), known)
    return run


def images(run: Run) -> list[dict[str, Any]]:
    return read_images(run, "train").to_pylist()


def shards(run: Run) -> dict[str, list[str]]:
    """Return the labels of each shard's images, shards and images in order."""
    found: dict[str, list[str]] = {}
    for row in images(run):
        found.setdefault(row["shard"], []).append("+".join(row["classes"]))
    return found


def test_the_tables_of_an_index(tmp_path) -> None:
    root = voc(tmp_path / "voc", {"b": "dog cat dog", "a": "cat"})
    run = indexed(tmp_path / "run", root, name="voc")
    rows = images(run)
    assert [(row["image_id"], row["classes"], row["ordinals"]) for row in rows] == [
        ("a", ["cat"], [0]), ("b", ["cat", "dog"], [1, 0]),
    ]  # fmt: skip
    assert rows[0]["uri"] == f"{root}/JPEGImages/a.jpg"
    assert rows[0]["mask_uri"] is None
    classes = run.read(CLASSES, "index", "train", "classes.parquet").to_pylist()
    assert [(row["class"], row["images"], row["mask_value"]) for row in classes] == [
        ("cat", 2, 8), ("dog", 1, 12),
    ]  # fmt: skip
    boxes = read_boxes(run, "train").to_pylist()
    assert [(row["image_id"], row["class"]) for row in boxes] == [
        ("a", "cat"), ("b", "dog"), ("b", "cat"), ("b", "dog"),
    ]  # fmt: skip
    assert boxes[0] == {"image_id": "a", "class": "cat", "x0": 0, "y0": 0, "x1": 4, "y1": 2,
                        "difficult": False}  # fmt: skip
    (shard,) = read_shards(run, "train").to_pylist()
    assert (shard["shard"], shard["images"]) == (rows[0]["shard"], 2)
    manifest = run.require("index/train")
    assert manifest.counts == {"images": 2, "shards": 1, "classes": 2, "boxes": 4, "masks": 0}


def test_a_shard_holds_one_class_where_that_leaves_no_crumbs(tmp_path) -> None:
    root = folder(tmp_path / "x", {"a": 9, "b": 1, "c": 1, "d": 3})
    run = indexed(tmp_path / "run", root, shard_size=4)
    assert list(shards(run).values()) == [["a"] * 3] * 3 + [["b", "c"], ["d"] * 3]


@pytest.mark.parametrize(
    ("count", "size", "sizes"),
    [(2, 4, [2]), (4, 4, [4]), (5, 4, [2, 3]), (9, 4, [3, 3, 3]), (10, 4, [3, 3, 4])],
)  # fmt: skip
def test_the_shards_of_a_class_are_equal_pieces(tmp_path, count, size, sizes) -> None:
    run = indexed(tmp_path / "run", folder(tmp_path / "x", {"a": count}), shard_size=size)
    assert read_shards(run, "train")["images"].to_pylist() == sizes


def test_small_classes_share_shards_that_are_not_too_large(tmp_path) -> None:
    root = folder(tmp_path / "x", {"a": 2, "b": 2, "c": 1, "d": 2, "e": 2})
    run = indexed(tmp_path / "run", root, shard_size=5)
    assert list(shards(run).values()) == [["a", "a", "b", "b", "c"], ["d", "d", "e", "e"]]


def test_many_shards_are_in_several_parts(tmp_path) -> None:
    root = folder(tmp_path / "x", {"a": 70})
    run = indexed(tmp_path / "run", root, shard_size=1)
    listed = read_shards(run, "train").to_pylist()
    assert Counter(row["part"] for row in listed) == {"00000": 64, "00001": 6}
    reader = ShardReader.of(run, "train")
    found = [reader.read(row["shard"], row["part"])["image_id"].to_pylist() for row in listed]
    assert found == [[f"a/{number:03d}.jpg"] for number in range(70)]
    assert [row["image_id"] for row in images(run)] == [name for names in found for name in names]
    again = indexed(tmp_path / "run", root, shard_size=35)
    assert len(images(again)) == 70, "nothing is left of an index with more parts"
    assert len(again.step("index/train/images").names()) == 1


def test_every_image_is_in_one_shard_and_shards_lie_together(tmp_path) -> None:
    root = folder(tmp_path / "x", {"a": 7, "b": 11, "c": 2, "d": 13})
    run = indexed(tmp_path / "run", root, shard_size=5)
    names = [row["shard"] for row in images(run)]
    assert names == sorted(names)
    assert Counter(names).most_common(1)[0][1] <= 5
    assert len({row["image_id"] for row in images(run)}) == 33
    assert run.require("index/train").counts["shards"] == len(set(names))


def test_the_names_of_shards_follow_their_content(tmp_path) -> None:
    root = folder(tmp_path / "x", {"a": 6, "b": 6})
    first = list(shards(indexed(tmp_path / "r1", root, shard_size=4)))
    assert list(shards(indexed(tmp_path / "r2", root, shard_size=4))) == first
    (root / "b" / "005.jpg").unlink()
    second = list(shards(indexed(tmp_path / "r3", root, shard_size=4)))
    assert second[:2] == first[:2]
    assert not set(second[2:]) & set(first[2:])
    assert first[0].startswith("000000-")


def test_the_manifest_says_when_the_folder_holds_something_else(tmp_path) -> None:
    root = folder(tmp_path / "x", {"a": 2})
    first = indexed(tmp_path / "run", root).require("index/train")
    again = indexed(tmp_path / "run", root).require("index/train")
    assert again.identity == first.identity
    folder(root, {"a": 3})
    other = indexed(tmp_path / "run", root).require("index/train")
    assert other.fingerprint == first.fingerprint
    assert other.identity != first.identity


def test_ordinals_count_each_class_on_its_own(tmp_path) -> None:
    root = voc(tmp_path / "voc", {"a": "cat", "b": "dog cat", "c": "dog", "d": "cat dog"})
    found: dict[str, list[int]] = {"cat": [], "dog": []}
    for row in images(indexed(tmp_path / "run", root, name="voc", shard_size=1)):
        for name, ordinal in zip(row["classes"], row["ordinals"], strict=True):
            found[name].append(ordinal)
    assert found == {"cat": [0, 1, 2], "dog": [0, 1, 2]}


def test_limit_keeps_the_first_images_of_each_class(tmp_path) -> None:
    root = folder(tmp_path / "x", {"a": 5, "b": 2, "c": 4})
    rows = images(indexed(tmp_path / "run", root, limit=3))
    assert [row["image_id"] for row in rows] == [
        "a/000.jpg", "a/001.jpg", "a/002.jpg", "b/000.jpg", "b/001.jpg",
        "c/000.jpg", "c/001.jpg", "c/002.jpg",
    ]  # fmt: skip


def test_limit_takes_an_image_that_any_of_its_classes_still_needs(tmp_path) -> None:
    root = voc(tmp_path / "voc", {"a": "cat", "b": "cat", "c": "cat dog", "d": "dog"})
    rows = images(indexed(tmp_path / "run", root, name="voc", limit=1))
    assert [row["image_id"] for row in rows] == ["a", "c"]


def test_only_leaves_out_other_labels_and_images_without_any_other(tmp_path) -> None:
    root = voc(tmp_path / "voc", {"a": "cat", "b": "dog cat", "c": "dog", "d": ""})
    run = indexed(tmp_path / "run", root, name="voc", only=("dog",))
    assert [(row["image_id"], row["classes"]) for row in images(run)] == [
        ("d", []), ("b", ["dog"]), ("c", ["dog"]),
    ]  # fmt: skip
    classes = run.read(CLASSES, "index", "train", "classes.parquet")["class"].to_pylist()
    assert classes == ["dog"]
    assert read_boxes(run, "train")["class"].to_pylist() == ["dog"] * 2


def test_a_class_that_is_not_there_is_refused(tmp_path) -> None:
    root = folder(tmp_path / "x", {"cat": 1, "dog": 1})
    for asked in ({"only": ("dog", "cow")}, {"searched": ("cow",)}):
        with pytest.raises(InputError, match="unknown class cow") as caught:
            indexed(tmp_path / "run", root, **asked)
        assert "cat, dog" in caught.value.remedy
    assert not (tmp_path / "run").exists()


def test_searched_classes_replace_the_labels_of_every_image(tmp_path) -> None:
    root = folder(tmp_path / "x", {"cat": 1, "a.jpg": 1})
    known = [ClassRecord("n1", "cat", 5), ClassRecord("n2", "dog", 6)]
    run = indexed(tmp_path / "run", root, known=known, searched=("n2", "n1"))
    assert {tuple(row["classes"]) for row in images(run)} == {("n1", "n2")}
    assert [row["ordinals"] for row in images(run)] == [[0, 0], [1, 1]]
    assert [item.network_index for item in index.read_classes(run, "train")] == [5, 6]


def test_classes_can_be_asked_for_by_title(tmp_path) -> None:
    root = folder(tmp_path / "x", {"a.jpg": 1})
    known = [ClassRecord("n1", "cat"), ClassRecord("n2", "dog")]
    run = indexed(tmp_path / "run", root, known=known, searched=("dog",))
    assert [row["classes"] for row in images(run)] == [["n2"]], "tables hold names, not titles"


def test_images_without_labels_stay(tmp_path) -> None:
    run = indexed(tmp_path / "run", folder(tmp_path / "x", {"b.jpg": 1, "a.jpg": 1}))
    assert [(row["image_id"], row["classes"]) for row in images(run)] == [
        ("a.jpg", []), ("b.jpg", []),
    ]  # fmt: skip
    assert index.read_classes(run, "train") == []


def test_classes_without_images_are_written_but_not_worked_on(tmp_path) -> None:
    root = folder(tmp_path / "x", {"cat": 1})
    (root / "dog").mkdir()
    run = indexed(tmp_path / "run", root)
    assert run.read(CLASSES, "index", "train", "classes.parquet")["images"].to_pylist() == [1, 0]
    assert [item.name for item in index.read_classes(run, "train")] == ["cat"]
    assert run.require("index/train").counts["classes"] == 1


def test_an_image_that_is_listed_again_is_one_image(tmp_path) -> None:
    (tmp_path / "list.csv").write_text("uri,class\nb.jpg,dog\na.jpg,dog\nb.jpg,cat\nb.jpg,dog\n")
    run = indexed(tmp_path / "run", tmp_path / "list.csv", name="manifest")
    assert [(row["image_id"], row["classes"], row["ordinals"]) for row in images(run)] == [
        ("a.jpg", ["dog"], [0]), ("b.jpg", ["cat", "dog"], [0, 1]),
    ]  # fmt: skip
    assert index.class_sizes(run, "train") == {"cat": 1, "dog": 2}


def test_two_images_of_one_name_are_refused(tmp_path) -> None:
    (tmp_path / "list.csv").write_text("uri,class,image_id\na.jpg,cat,x\nb.jpg,cat,x\n")
    with pytest.raises(InputError, match=r"^x: listed twice, as .*a\.jpg and as .*b\.jpg"):
        indexed(tmp_path / "run", tmp_path / "list.csv", name="manifest")


@pytest.mark.parametrize("limit", [0, 1])
def test_an_empty_split_is_refused_and_writes_nothing(tmp_path, limit) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(InputError, match="no images in split 'train'"):
        indexed(tmp_path / "run", tmp_path / "x", limit=limit)
    assert not (tmp_path / "run").exists()


def test_a_mistake_leaves_the_index_that_was_there(tmp_path) -> None:
    run = indexed(tmp_path / "run", folder(tmp_path / "x", {"a": 3}))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no images"):
        indexed(tmp_path / "run", tmp_path / "empty")
    assert run.require("index/train").counts["images"] == len(images(run)) == 3


def test_the_plan_follows_what_is_asked(tmp_path) -> None:
    config = DatasetConfig(root="/x")
    first = index.plan(config, "train").fingerprint
    others = [
        index.plan(config.model_copy(update={"limit": 1}), "train"),
        index.plan(config.model_copy(update={"shard_size": 1}), "train"),
        index.plan(config, "train", ("cat",)),
    ]
    assert len({first, *(plan.fingerprint for plan in others)}) == 4
    toy = config.toyworld.model_copy(update={"seed": 1})
    assert index.plan(config.model_copy(update={"toyworld": toy}), "train").fingerprint == first


def test_a_class_file_restricts_and_keeps_the_values_of_masks(tmp_path) -> None:
    root = voc(tmp_path / "data", {"a": "train", "b": "boat", "c": "boat train"})
    (root / "labels.txt").write_text("background\ntrain\nboat\n")
    (tmp_path / "mine.txt").write_text("boat\n")
    run = indexed(tmp_path / "run", root, name="voc", class_file=str(tmp_path / "mine.txt"))
    assert [(row["image_id"], row["classes"]) for row in images(run)] == [
        ("b", ["boat"]), ("c", ["boat"]),
    ]  # fmt: skip
    classes = run.read(CLASSES, "index", "train", "classes.parquet").to_pylist()
    assert [(row["class"], row["mask_value"]) for row in classes] == [("boat", 2)]


def test_another_dataset_has_its_own_values_of_masks(tmp_path) -> None:
    root = voc(tmp_path / "data", {"a": "train", "b": "boat"})
    (root / "labels.txt").write_text("background\ntrain\nboat\n")
    known = [ClassRecord("boat", mask_value=9), ClassRecord("kite", mask_value=1)]
    run = indexed(tmp_path / "run", root, name="voc", known=known)
    classes = run.read(CLASSES, "index", "train", "classes.parquet").to_pylist()
    assert [(row["class"], row["mask_value"]) for row in classes] == [("boat", 2), ("kite", None)]
