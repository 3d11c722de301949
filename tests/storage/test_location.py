"""Paths and URIs, and files that are there whole or not at all."""

from __future__ import annotations

import pickle

import pyarrow as pa
import pytest
from pyarrow import fs

from raypipe.errors import InputError, MissingError, RaypipeError
from raypipe.storage.location import Location
from tests.s3 import Store


class Interrupted(BaseException):
    """Stands for a kill in the middle of a write."""


def test_a_relative_path_is_resolved_against_the_working_directory(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = Location.of("a/b")
    assert (str(place), place.path, place.name) == (f"{tmp_path}/a/b", f"{tmp_path}/a/b", "b")
    assert place.is_local


def test_the_home_directory_is_known(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert str(Location.of("~/data")) == f"{tmp_path}/data"


def test_a_file_uri_is_the_same_place_as_its_path(tmp_path) -> None:
    (tmp_path / "a b").write_bytes(b"x")
    place = Location.of(f"file://{tmp_path}/a%20b")
    assert place.read_bytes() == b"x"
    assert str(place) == f"{tmp_path}/a b"


def test_slash_goes_down_and_keeps_the_filesystem() -> None:
    place = Location.of("gs://anonymous@bucket/prefix")
    below = place / "a" / "b.txt"
    assert (below.path, below.name, str(below)) == (
        "bucket/prefix/a/b.txt", "b.txt", "gs://bucket/prefix/a/b.txt",
    )  # fmt: skip
    assert below.filesystem is place.filesystem
    assert not below.is_local


@pytest.mark.parametrize("name", ["plain.jpg", "two words.jpg", "50%.jpg", "a#b?c.jpg", "ä~+.jpg"])
def test_a_uri_survives_being_written_down(s3: Store, name) -> None:
    root = Location.of(s3.uri("bucket/x", region="eu-west-1"))
    place = root / name
    again = Location.of(str(place))
    assert again.path == f"bucket/x/{name}"
    assert again.filesystem == place.filesystem, "the endpoint is part of the address"
    assert again == place
    assert (again.name, again.is_local) == (name, False)


def test_a_location_can_be_sent_to_another_process(tmp_path) -> None:
    place = Location.of(str(tmp_path)) / "a"
    place.write_bytes(b"x")
    assert pickle.loads(pickle.dumps(place)).read_bytes() == b"x"


@pytest.mark.parametrize("uri", ["nosuch://bucket/x", "s3://bucket/two words", "://"])
def test_an_impossible_uri_is_an_input_error(uri) -> None:
    with pytest.raises(InputError) as caught:
        Location.of(uri)
    assert uri in caught.value.message
    assert "s3://" in caught.value.remedy


def test_what_is_not_there(tmp_path) -> None:
    place = Location.of(str(tmp_path / "no"))
    assert not place.exists()
    assert not place.is_dir()
    assert place.names() == []
    assert place.entries(recursive=True) == []
    place.delete()
    for read in (place.read_bytes, place.read_text, place.read_table):
        with pytest.raises(InputError, match="not found") as caught:
            read()
        assert caught.value.message.startswith(str(place))
        assert caught.value.remedy


def test_listing_is_sorted_and_files_only(tmp_path) -> None:
    root = Location.of(str(tmp_path))
    for name in ("b", "a", "d/c"):
        (root / name).write_bytes(b"")
    assert root.names() == ["a", "b"]
    assert [info.path for info in root.entries(recursive=True)] == [
        f"{tmp_path}/{name}" for name in ("a", "b", "d", "d/c")
    ]
    assert root.is_dir()
    assert (root / "a").exists()
    assert not (root / "a").is_dir()


def test_delete_takes_files_and_whole_directories(tmp_path) -> None:
    root = Location.of(str(tmp_path))
    for name in ("a", "d/e/f"):
        (root / name).write_bytes(b"x")
    (root / "a").delete()
    (root / "d").delete()
    assert root.entries() == []


def test_writing_replaces_the_whole_file(tmp_path) -> None:
    place = Location.of(str(tmp_path / "deep" / "er" / "file"))
    place.write_bytes(b"a long first version")
    place.write_bytes(pa.py_buffer(b"short"))
    assert place.read_bytes() == b"short"
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["file"]


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch) -> None:
    def die(_):
        assert len(list(tmp_path.iterdir())) == 1, "written under another name first"
        raise Interrupted

    place = Location.of(str(tmp_path / "file"))
    monkeypatch.setattr("os.fsync", die)
    with pytest.raises(Interrupted):
        place.write_bytes(b"half of it")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_keeps_what_was_there(tmp_path, monkeypatch) -> None:
    def die(*_):
        raise OSError(28, "No space left on device")

    place = Location.of(str(tmp_path / "file"))
    place.write_bytes(b"before")
    monkeypatch.setattr("os.fsync", die)
    with pytest.raises(InputError, match="No space left") as caught:
        place.write_bytes(b"after")
    assert caught.value.remedy
    monkeypatch.undo()
    assert place.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_object_store_gets_one_whole_object(tmp_path) -> None:
    # Everything but the plain local filesystem is written like an object store.
    filesystem = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    place = Location(filesystem, "object", "sub")
    assert not place.is_local
    place.write_bytes(b"content")
    assert place.read_bytes() == b"content"
    assert [path.name for path in tmp_path.iterdir()] == ["object"]


def test_below_a_regular_file_nothing_can_be_written(tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(InputError, match="cannot be written") as caught:
        Location.of(str(tmp_path / "file" / "below")).write_bytes(b"y")
    assert caught.value.remedy
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("number", [1, 13, 30])  # EPERM, EACCES, EROFS: root meets only the last
def test_no_permission_is_said_in_those_words(tmp_path, monkeypatch, number) -> None:
    def refuse(*_):
        raise OSError(number, "refused")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(InputError, match="no permission, it cannot be written") as caught:
        Location.of(str(tmp_path / "file")).write_bytes(b"y")
    assert caught.value.remedy == "change the permissions, or name another place"
    assert list(tmp_path.iterdir()) == []


def test_reading_a_directory_is_an_input_error(tmp_path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        Location.of(str(tmp_path)).read_bytes()


def test_text_loses_its_byte_order_mark_and_must_be_utf8(tmp_path) -> None:
    place = Location.of(str(tmp_path / "text"))
    place.write_bytes("\ufeffBär".encode())
    assert place.read_text() == "Bär"
    place.write_bytes("Bär".encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8") as caught:
        place.read_text()
    assert caught.value.remedy == "save it as UTF-8"


def test_tables_come_back_as_they_were(tmp_path) -> None:
    place = Location.of(str(tmp_path / "t.parquet"))
    table = pa.table({"a": pa.array([1, None], pa.int32()), "b": ["x", "y"]})
    place.write_table(table)
    assert place.read_table() == table
    assert place.read_table(columns=["b"]).column_names == ["b"]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all, but long enough"])
def test_a_damaged_table_is_an_input_error(tmp_path, content) -> None:
    place = Location.of(str(tmp_path / "t.parquet"))
    place.write_bytes(content)
    with pytest.raises(InputError, match=r"t\.parquet") as caught:
        place.read_table()
    assert caught.value.remedy
    assert "\n" not in caught.value.message


def test_errors_keep_their_remedy_across_processes() -> None:
    error = pickle.loads(pickle.dumps(InputError("what", "do this")))
    assert isinstance(error, RaypipeError)
    assert (error.message, error.remedy, str(error), error.exit_code) == (
        "what", "do this", "what", 4,
    )  # fmt: skip


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all, but long enough"])
def test_what_is_opened_as_parquet_and_is_none_is_called_so(tmp_path, content) -> None:
    place = Location.of(str(tmp_path / "t.parquet"))
    with pytest.raises(MissingError, match="not found"), place.open_parquet():
        pass
    place.write_bytes(content)
    damaged = pytest.raises(InputError, match="not a Parquet file, or damaged")
    with damaged as caught, place.open_parquet():
        pass
    assert caught.value.remedy == "copy or download it again"


def test_an_opened_file_is_read_here_and_there(tmp_path) -> None:
    place = Location.of(str(tmp_path / "file"))
    content = bytes(range(256)) * 100
    place.write_bytes(content)
    with place.open() as file:
        assert file.read(3) == content[:3]
        assert (file.seek(-5, 2), file.read()) == (len(content) - 5, content[-5:])
        assert (file.seek(5000), file.read(6000), file.tell()) == (5000, content[5000:11000], 11000)


@pytest.mark.parametrize(
    ("offset", "size", "expected"),
    [(0, 3, b"abc"), (2, 2, b"cd"), (4, 9, b"e"), (5, 1, b""), (9, 1, b""), (0, 0, b"")],
)
def test_a_range_is_cut_by_the_end_of_the_file(tmp_path, offset, size, expected) -> None:
    place = Location.of(str(tmp_path / "file"))
    place.write_bytes(b"abcde")
    assert place.read_range(offset, size) == expected
