"""Parquet files as the Hub writes them, and as others do."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.config import DatasetConfig
from raypipe.datasets.base import ImageRecord
from raypipe.datasets.parquet import Parquet
from raypipe.errors import InputError
from raypipe.storage.blob import cell_uri
from raypipe.storage.location import Location
from tests.datasets.conftest import Stored

NAMES = ["cat", "dog", "cow"]
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def metadata(feature: object) -> dict[bytes, bytes]:
    features = {"image": {"_type": "Image"}, "label": feature}
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


LABELS = metadata({"names": NAMES, "_type": "ClassLabel"})


def write(
    path: Path,
    labels: list | pa.Array,
    /,
    images: list | None = None,
    meta: dict[bytes, bytes] | None = None,
    group: int = 2,
    **more: list,
) -> Path:
    """Write a file; return its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = images or [{"bytes": b"image", "path": f"{at}.jpg"} for at in range(len(labels))]
    columns = {"image": pa.array(cells, IMAGE), "label": pa.array(labels)} | more
    table = pa.table(columns).replace_schema_metadata(meta)
    pq.write_table(table, path, row_group_size=group)
    return path.parent


def opened(root: Path | Location, **config: str) -> Parquet:
    place = root if isinstance(root, Location) else Location.of(str(root))
    return Parquet(DatasetConfig(name="parquet", **config), place)


def records(root: Path | Location, split: str = "train") -> list[ImageRecord]:
    return list(opened(root).images(split))


def test_a_row_is_an_image_in_its_cell(tmp_path, stored: Stored) -> None:
    write(tmp_path / "hub/data/train-00000-of-00002.parquet", [0, 2, 1], meta=LABELS)
    write(tmp_path / "hub/data/train-00001-of-00002.parquet", [1], meta=LABELS)
    write(tmp_path / "hub/data/validation-00000-of-00001.parquet", [-1, None], meta=LABELS)
    root = stored(tmp_path / "hub")
    assert [item.name for item in opened(root).classes()] == NAMES
    found = records(root)
    assert [(item.image_id, item.classes, item.group) for item in found] == [
        ("data/train-00000-of-00002/000000", ("cat",), "data/train-00000-of-00002#00000"),
        ("data/train-00000-of-00002/000001", ("cow",), "data/train-00000-of-00002#00000"),
        ("data/train-00000-of-00002/000002", ("dog",), "data/train-00000-of-00002#00001"),
        ("data/train-00001-of-00002/000000", ("dog",), "data/train-00001-of-00002#00000"),
    ]
    file = root / "data" / "train-00000-of-00002.parquet"
    assert found[2].uri == cell_uri(str(file), 2, "image.bytes")
    assert [item.classes for item in records(root, "val")] == [(), ()], "-1 and null: no label"
    with pytest.raises(InputError, match="no split 'test'") as caught:
        records(root, "test")
    assert caught.value.remedy == "--split is one of train, val"


def test_the_images_are_not_read(tmp_path, monkeypatch) -> None:
    write(tmp_path / "a.parquet", [0, 1], meta=LABELS)
    asked: list[str] = []
    whole = pq.ParquetFile.read

    def read(self, columns=None, **rest):
        asked.extend(columns)
        return whole(self, columns=columns, **rest)

    monkeypatch.setattr(pq.ParquetFile, "read", read)
    assert len(records(tmp_path)) == 2
    assert asked == ["label"]


@pytest.mark.parametrize(
    ("labels", "meta", "expected", "classes"),
    [([10, 2, None], None, [("10",), ("2",), ()], ["2", "10"]),
     (["dog", "", "ape"], None, [("dog",), (), ("ape",)], ["ape", "dog"]),
     (pa.array(["dog", "ape", "dog"]).dictionary_encode(), None,
      [("dog",), ("ape",), ("dog",)], ["ape", "dog"]),
     ([["dog", "ape"], [], None], None, [("dog", "ape"), (), ()], ["ape", "dog"]),
     ([[1, 0, 1], [2], []], metadata({"feature": {"names": NAMES, "_type": "ClassLabel"},
                                      "_type": "Sequence"}),
      [("dog", "cat"), ("cow",), ()], NAMES),
     ([[1], [2], []], metadata([{"names": NAMES, "_type": "ClassLabel"}]),
      [("dog",), ("cow",), ()], NAMES),
     ([1, 2, 0], metadata({"dtype": "int64", "_type": "Value"}), [("1",), ("2",), ("0",)],
      ["0", "1", "2"]),
     ([1, 2, 0], {b"huggingface": b"not json"}, [("1",), ("2",), ("0",)], ["0", "1", "2"])],
)  # fmt: skip
def test_labels_are_numbers_names_or_lists(tmp_path, labels, meta, expected, classes) -> None:
    write(tmp_path / "a.parquet", labels, meta=meta)
    assert [item.classes for item in records(tmp_path)] == expected
    assert [item.name for item in opened(tmp_path).classes()] == classes


def test_numbers_are_named_by_a_list_where_the_file_does_not(tmp_path) -> None:
    write(tmp_path / "a.parquet", [1, 0])
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    assert [item.classes for item in records(tmp_path)] == [("dog",), ("cat",)]


@pytest.mark.faults
@pytest.mark.parametrize("labels", [[0, 3], [0, -2], [0.0, 1.5], ["cat", "ape"], [[0], [[7][0]]]])
def test_a_label_that_is_no_class_is_named_with_its_row(tmp_path, labels) -> None:
    write(tmp_path / "a.parquet", labels, meta=LABELS)
    with pytest.raises(InputError, match=r"a\.parquet: row [01]: label .* is none of the 3"):
        records(tmp_path)


def test_images_that_are_paths_only(tmp_path, stored: Stored) -> None:
    images = [{"bytes": None, "path": "../photos/a b.jpg"}, {"bytes": None, "path": "/abs/b.jpg"},
              {"bytes": None, "path": None}, None]  # fmt: skip
    write(tmp_path / "set/data/a.parquet", [0, 1, 0, 1], images, LABELS, group=4)
    root = stored(tmp_path / "set")
    near, absolute, nothing, null = records(root)
    assert near.uri == str(root / "photos/a b.jpg")
    assert absolute.uri == "/abs/b.jpg"
    file = str(root / "data/a.parquet")
    assert [nothing.uri, null.uri] == [cell_uri(file, row, "image.bytes") for row in (2, 3)]


def test_a_single_null_image_stays_a_cell_that_will_be_rejected(tmp_path) -> None:
    images = [{"bytes": b"x", "path": "a.jpg"}, {"bytes": None, "path": "b.jpg"}, None]
    write(tmp_path / "a.parquet", [0, 1, 2], images, LABELS, group=3)
    assert [item.uri.partition("#")[2] for item in records(tmp_path)] == [
        f"row={row}&column=image.bytes" for row in range(3)
    ]


def test_bytes_without_a_struct_and_a_file_as_root(tmp_path, stored: Stored) -> None:
    table = pa.table({"key": ["k"], "jpg": [b"image"], "cls": [4], "embedding": [b"no image"]})
    pq.write_table(table, tmp_path / "one.parquet")
    (record,) = opened(stored(tmp_path / "one.parquet")).images("any")
    assert record.uri.endswith("one.parquet" if False else "#row=0&column=jpg")
    assert (record.image_id, record.classes) == ("one/000000", ("4",))


def test_without_labels(tmp_path) -> None:
    pq.write_table(pa.table({"image": pa.array([{"bytes": b"x", "path": ""}], IMAGE)}),
                   tmp_path / "a.parquet")  # fmt: skip
    assert [item.classes for item in records(tmp_path)] == [()]
    assert opened(tmp_path).classes() == []


def test_several_columns_of_labels_must_be_told_apart(tmp_path) -> None:
    write(tmp_path / "a.parquet", [0, 1], labels=["x", "y"])
    with pytest.raises(InputError, match="several columns could be the labels: label, labels") as c:
        opened(tmp_path)
    assert c.value.remedy == "choose one, as --set dataset.label_column=label"
    dataset = opened(tmp_path, label_column="labels")
    assert [item.classes for item in dataset.images("train")] == [("x",), ("y",)]
    with pytest.raises(InputError, match="no column 'fine'"):
        opened(tmp_path, label_column="fine")


@pytest.mark.faults
def test_files_that_are_not_what_they_should_be(tmp_path) -> None:
    with pytest.raises(InputError, match="no Parquet files in it"):
        opened(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"PAR1 but not really PAR1")
    with pytest.raises(InputError, match=r"a\.parquet: not a Parquet file, or damaged"):
        opened(tmp_path)
    pq.write_table(pa.table({"text": ["x"], "blob": [b"x"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="no column of encoded images; there are text, blob"):
        opened(tmp_path)


@pytest.mark.faults
def test_files_of_two_kinds_are_refused(tmp_path) -> None:
    write(tmp_path / "a.parquet", [0])
    pq.write_table(pa.table({"img": [b"x"], "label": [0]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"b\.parquet: its images are in 'img'"):
        records(tmp_path)
    pq.write_table(pa.table({"image": pa.array([{"bytes": b"", "path": ""}], IMAGE)}),
                   tmp_path / "b.parquet")  # fmt: skip
    with pytest.raises(InputError, match=r"b\.parquet: no column 'label'"):
        records(tmp_path)


@pytest.mark.faults
def test_a_damaged_page_is_named(tmp_path) -> None:
    write(tmp_path / "a.parquet", list(range(5000)), group=5000)
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    at = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0).column(2).data_page_offset
    content[at : at + 60] = b"\xff" * 60
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.parquet: .*damaged"):
        records(tmp_path)
