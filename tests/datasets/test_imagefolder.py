"""Folders of images: labelled, flat, with and without splits."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.config import DatasetConfig
from raypipe.datasets.base import open_dataset
from raypipe.datasets.imagefolder import ImageFolder
from raypipe.errors import ConfigError, InputError
from raypipe.storage.location import Location


def tree(root: Path, *names: str) -> ImageFolder:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return ImageFolder(DatasetConfig(), Location.of(str(root)))


def labels(dataset: ImageFolder, split: str = "train") -> dict[str, tuple[str, ...]]:
    return {record.image_id: record.classes for record in dataset.images(split)}


def test_a_folder_a_class(tmp_path) -> None:
    dataset = tree(tmp_path, "dog/b.jpg", "cat/a.png", "dog/a.jpg", "empty/.keep")
    assert [item.name for item in dataset.classes()] == ["cat", "dog", "empty"]
    records = list(dataset.images("train"))
    assert [(item.image_id, item.classes) for item in records] == [
        ("cat/a.png", ("cat",)), ("dog/a.jpg", ("dog",)), ("dog/b.jpg", ("dog",)),
    ]  # fmt: skip
    assert records[0].uri == f"{tmp_path}/cat/a.png"
    assert records[0].boxes == ()
    assert records[0].mask_uri is None
    assert labels(dataset, "any other split") == labels(dataset)


def test_a_flat_folder_has_no_labels(tmp_path) -> None:
    dataset = tree(tmp_path, "b.jpg", "a.jpg")
    assert dataset.classes() == []
    assert labels(dataset) == {"a.jpg": (), "b.jpg": ()}


def test_deeper_folders_belong_to_the_class_above(tmp_path) -> None:
    dataset = tree(tmp_path, "cat/2024/05/a.jpg", "cat/2025/05/a.jpg")
    assert labels(dataset) == {"cat/2024/05/a.jpg": ("cat",), "cat/2025/05/a.jpg": ("cat",)}
    assert [item.name for item in dataset.classes()] == ["cat"]


def test_only_images_count_whatever_the_case_of_their_ending(tmp_path) -> None:
    dataset = tree(
        tmp_path, "c/A.JPG", "c/b.JpEg", "c/d.tiff", "c/e.webp", "c/notes.txt", "c/jpg",
        "c/x.jpg.part", "c/Thumbs.db", "labels.csv",
    )  # fmt: skip
    assert list(labels(dataset)) == ["c/A.JPG", "c/b.JpEg", "c/d.tiff", "c/e.webp"]


def test_split_folders_are_known_by_their_names(tmp_path) -> None:
    dataset = tree(tmp_path, "train/cat/a.jpg", "train/dog/a.jpg", "val/cat/b.jpg", "val/cow/c.jpg")
    assert [item.name for item in dataset.classes()] == ["cat", "cow", "dog"]
    assert labels(dataset, "train") == {"cat/a.jpg": ("cat",), "dog/a.jpg": ("dog",)}
    assert labels(dataset, "val") == {"cat/b.jpg": ("cat",), "cow/c.jpg": ("cow",)}
    with pytest.raises(InputError, match="no split 'test'") as caught:
        list(dataset.images("test"))
    assert caught.value.remedy == "--split is one of train, val"


def test_a_class_beside_them_makes_split_names_classes(tmp_path) -> None:
    dataset = tree(tmp_path, "train/a.jpg", "boat/a.jpg")  # the train that runs on rails
    assert [item.name for item in dataset.classes()] == ["boat", "train"]
    assert labels(dataset) == {"boat/a.jpg": ("boat",), "train/a.jpg": ("train",)}


def test_hidden_folders_are_no_classes(tmp_path) -> None:
    dataset = tree(tmp_path, "cat/a.jpg", ".cache/b.jpg")
    assert [item.name for item in dataset.classes()] == ["cat"]


def test_names_that_a_uri_would_quote_stay_as_they_are_on_disk(tmp_path) -> None:
    dataset = tree(tmp_path, "two words/50% #1?.jpg")
    (record,) = dataset.images("train")
    assert record.classes == ("two words",)
    assert Location.of(record.uri).read_bytes() == b""


def test_a_root_that_is_no_folder(tmp_path) -> None:
    with pytest.raises(InputError, match=r"no: not found \(a folder") as caught:
        ImageFolder(DatasetConfig(), Location.of(str(tmp_path / "no")))
    assert caught.value.remedy == "check --root"
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="file: is not a directory"):
        ImageFolder(DatasetConfig(), Location.of(str(tmp_path / "file")))


def test_datasets_are_opened_by_name(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("RAYPIPE_ROOT_IMAGEFOLDER", raising=False)
    assert isinstance(open_dataset(DatasetConfig(root=str(tmp_path))), ImageFolder)
    with pytest.raises(ConfigError, match="no root given") as caught:
        open_dataset(DatasetConfig())
    assert "RAYPIPE_ROOT_IMAGEFOLDER" in caught.value.remedy
    monkeypatch.setenv("RAYPIPE_ROOT_IMAGEFOLDER", str(tmp_path))
    assert isinstance(open_dataset(DatasetConfig()), ImageFolder)
    with pytest.raises(ConfigError, match="unknown dataset 'imagefodler'") as caught:
        open_dataset(DatasetConfig(name="imagefodler", root=str(tmp_path)))
    assert caught.value.remedy.startswith("did you mean imagefolder?")
