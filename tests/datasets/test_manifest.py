"""Lists of images: CSV and Parquet, labels, splits and broken rows."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.config import DatasetConfig
from raypipe.datasets.manifest import Manifest
from raypipe.errors import InputError
from raypipe.storage.location import Location
from tests.datasets.conftest import Stored


def write(path: Path, text: str) -> Path:
    """Write the list: as it is, or its rows as a Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        path.write_text(text)
    else:
        header, *rows = [line.split(",") for line in text.splitlines()]
        columns = {name: [row[at] or None for row in rows] for at, name in enumerate(header)}
        pq.write_table(
            pa.table({name: pa.array(c, pa.string()) for name, c in columns.items()}), path
        )
    return path


def opened(path: Path | Location) -> Manifest:
    place = path if isinstance(path, Location) else Location.of(str(path))
    return Manifest(DatasetConfig(name="manifest"), place)


@pytest.fixture(params=["csv", "parquet"])
def file(request, tmp_path) -> Path:
    return tmp_path / "lists" / f"list.{request.param}"


def test_rows_are_images_beside_the_list(file, stored: Stored) -> None:
    write(file, "class,uri,note\ncat,a b.jpg,x\ndog,../photos/b.jpg,y\n,c.jpg,z\n"
                "cat,s3://other/d.jpg,\ncat,/abs/e.jpg,\n")  # fmt: skip
    root = stored(file.parent)
    dataset = opened(root / file.name)
    assert [item.name for item in dataset.classes()] == ["cat", "dog"]
    found = list(dataset.images("any split"))
    assert [item.uri for item in found] == [
        str(root / "a b.jpg"), str(root)[: -len("lists")] + "photos/b.jpg" if "?" not in str(root)
        else str(root).replace("lists", "photos/b.jpg"), str(root / "c.jpg"),
        "s3://other/d.jpg", "/abs/e.jpg",
    ]  # fmt: skip
    assert [item.image_id for item in found] == [
        "a b.jpg", "../photos/b.jpg", "c.jpg", "s3://other/d.jpg", "/abs/e.jpg",
    ]  # fmt: skip
    assert [item.classes for item in found] == [("cat",), ("dog",), (), ("cat",), ("cat",)]


def test_an_image_with_several_labels_has_several_rows(file) -> None:
    write(file, "uri,class\na.jpg,cat\nb.jpg,cat\na.jpg,dog\n")
    assert [(item.image_id, item.classes) for item in opened(file).images("train")] == [
        ("a.jpg", ("cat",)), ("b.jpg", ("cat",)), ("a.jpg", ("dog",)),
    ]  # fmt: skip


def test_names_and_splits_of_the_list(file) -> None:
    write(file, "uri,class,image_id,split\na.jpg,cat,one,train\nb.jpg,ape,,validation\n")
    dataset = opened(file)
    assert [item.image_id for item in dataset.images("train")] == ["one"]
    assert [item.image_id for item in dataset.images("val")] == ["b.jpg"]
    assert [item.name for item in dataset.classes()] == ["ape", "cat"], "of all splits"
    with pytest.raises(InputError, match="no split 'test'") as caught:
        list(dataset.images("test"))
    assert caught.value.remedy == "--split is one of train, validation"


def test_a_spreadsheets_csv(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('\ufeffuri, class\r\n"a, b.jpg","say ""cat"""\r\n\r\nc.jpg, dog \r\n'.encode())
    assert [(item.image_id, item.classes) for item in opened(path).images("x")] == [
        ("a, b.jpg", ('say "cat"',)), ("c.jpg", ("dog",)),
    ]  # fmt: skip


@pytest.mark.faults
@pytest.mark.parametrize(
    ("rows", "reason"),
    [("a.jpg", "line 3: 1 fields where the header has 2"),
     ("a.jpg,b,c", "line 3: 3 fields"), (",cat", "line 3: its uri is empty"),
     ('"a.jpg,cat', "line 3: unexpected end of data"), ('"a"b,cat', "line 3: "),
     ('"' + "x" * 200_000 + '",cat', "line 3: field larger"),
     ('"two\nlines.jpg",cat\nbroken', "line 5: 1 fields")],
)  # fmt: skip
def test_a_broken_row_is_named_by_its_line(tmp_path, rows, reason) -> None:
    path = write(tmp_path / "a.csv", f"uri,class\ngood.jpg,cat\n{rows}\n")
    for call in (opened(path).classes, lambda: list(opened(path).images("train"))):
        with pytest.raises(InputError, match=rf"a\.csv: {reason}") as caught:
            call()
        assert caught.value.remedy


@pytest.mark.faults
def test_a_row_without_split_where_there_are_splits(file) -> None:
    write(file, "uri,class,split\na.jpg,cat,train\nb.jpg,cat,\n")
    with pytest.raises(InputError, match=r"(line 3|row 2): its split is empty"):
        list(opened(file).images("train"))


@pytest.mark.faults
@pytest.mark.parametrize("text", ["a.jpg,cat\n", "uri,klass\na.jpg,cat\n", "class,path\ncat,a\n"])
def test_a_missing_header_is_named_with_the_remedy(file, text) -> None:
    write(file, text)
    with pytest.raises(InputError, match="no column '(uri|class)' among") as caught:
        opened(file).classes()
    assert "uri,class" in caught.value.remedy


@pytest.mark.faults
def test_files_that_are_no_lists(tmp_path) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    with pytest.raises(InputError, match="no column 'uri' among none"):
        opened(tmp_path / "a.csv").classes()
    (tmp_path / "a.csv").write_bytes("uri,class\nä.jpg,cat".encode("latin-1"))
    with pytest.raises(InputError, match=r"a\.csv: not UTF-8"):
        opened(tmp_path / "a.csv").classes()
    (tmp_path / "a.parquet").write_bytes(b"uri,class\n")
    with pytest.raises(InputError, match="not a Parquet file"):
        opened(tmp_path / "a.parquet").classes()
    with pytest.raises(InputError, match="not found"):
        opened(tmp_path / "b.csv").classes()
    with pytest.raises(InputError, match=r"neither a \.csv nor a \.parquet") as caught:
        opened(tmp_path)
    assert caught.value.remedy == "--root of a manifest is the file itself"


def test_numbers_in_a_parquet_list_are_names(tmp_path) -> None:
    pq.write_table(pa.table({"uri": ["a", "b"], "class": [10, 2]}), tmp_path / "a.parquet")
    assert [item.name for item in opened(tmp_path / "a.parquet").classes()] == ["2", "10"]
