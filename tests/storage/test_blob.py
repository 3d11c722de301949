"""Images in files, in ranges of files and in cells of Parquet files, on disk and in a bucket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.errors import MissingError, StoreError
from raypipe.storage import s3 as product
from raypipe.storage.blob import cell_uri, range_uri, read_blob, read_blobs, read_order
from tests.s3 import Proxy, Store, hanging_up, refusing

CONTENT = bytes(range(256)) * 4000
GAP, SPAN = 1 << 16, 4 << 20

Put = Callable[[str, bytes], str]


@pytest.fixture(params=["disk", "s3"])
def put(request, tmp_path) -> Put:
    """Store a file; return its URI."""
    if request.param == "s3":
        return request.getfixturevalue("put_remote")

    def put(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return put


@pytest.fixture
def put_remote(s3: Store, proxy: Proxy) -> Put:
    bucket = s3.bucket()

    def put(name: str, content: bytes) -> str:
        s3.put(f"{bucket}/{name}", content)
        return proxy.store.uri(f"{bucket}/{name}")

    return put


def table(path: Path, cells: list[bytes | None], group: int) -> bytes:
    """Return a Parquet file whose images are in a struct, and some rows in plain columns."""
    rows = [None if cell is None else {"bytes": cell, "path": "x.jpg"} for cell in cells]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"image": pa.array(rows, kind), "a b&c": pa.array(cells, pa.binary())}
    pq.write_table(pa.table(columns), path, row_group_size=group, compression="none")
    return path.read_bytes()


def found(uris: list[str]) -> list[bytes | str]:
    """Return the blobs; of those that are missing what is said of them."""
    return [
        blob.message if isinstance(blob, MissingError) else blob for blob in read_blobs(uris)
    ]  # fmt: skip


def test_images_of_one_file_are_read_from_its_start_to_its_end() -> None:
    places = [range_uri("b.tar", 900, 5), range_uri("a.tar", 2000, 5), range_uri("b.tar", 80, 5)]
    assert sorted(places, key=read_order) == [places[1], places[2], places[0]]
    rows = [cell_uri("f.parquet", row, "image.bytes") for row in (10, 9, 2)]
    assert sorted(rows, key=read_order) == rows[::-1]
    assert read_order("photo.jpg") == ("photo.jpg", 0)


def test_whole_files_ranges_and_cells_come_in_the_order_asked_for(tmp_path, put) -> None:
    whole = put("my photo #1.jpg", b"whole")
    tar = put("a.tar", CONTENT)
    cells = [bytes([at]) * (at + 1) for at in range(7)]
    parquet = put("p.parquet", table(tmp_path / "made", cells, group=2))
    uris = [
        range_uri(tar, 500, 20), whole, cell_uri(parquet, 5, "image.bytes"),
        cell_uri(parquet, 0, "a b&c"), range_uri(tar, 10, 3), cell_uri(parquet, 6, "image.bytes"),
        cell_uri(parquet, 4, "image.bytes"), whole,
    ]  # fmt: skip
    assert list(read_blobs(uris)) == [
        CONTENT[500:520], b"whole", cells[5], cells[0], CONTENT[10:13], cells[6], cells[4],
        b"whole",
    ]  # fmt: skip
    assert [read_blob(uri) for uri in uris[:3]] == [CONTENT[500:520], b"whole", cells[5]]
    assert list(read_blobs([])) == []


def test_what_is_not_there_is_missing_and_the_rest_is_not(tmp_path, put) -> None:
    tar = put("a.tar", CONTENT)
    parquet = put("p.parquet", table(tmp_path / "made", [b"zero", None, b"two"], group=2))
    uris = [
        tar.replace("a.tar", "b.jpg"),
        range_uri(tar, 0, 4),
        range_uri(tar, len(CONTENT) - 4, 4),
        range_uri(tar, len(CONTENT) - 2, 4),
        range_uri(tar, len(CONTENT) + 9, 4),
        range_uri(tar.replace("a.tar", "b.tar"), 0, 4),
        *(cell_uri(parquet, row, "image.bytes") for row in range(4)),
        cell_uri(parquet, 0, "picture.bytes"),
        cell_uri(parquet.replace("p.", "q."), 0, "image.bytes"),
    ]
    blobs = found(uris)
    reasons = [
        "b.jpg", CONTENT[:4], CONTENT[-4:], "ends before byte", "ends before byte", "b.tar",
        b"zero", "row 1 holds no bytes", b"two", "fewer rows", "no column 'picture.bytes'",
        "q.parquet",
    ]  # fmt: skip
    for blob, reason in zip(blobs, reasons, strict=True):
        assert reason == blob if isinstance(reason, bytes) else reason in blob, blob
    with pytest.raises(MissingError, match=r"b\.jpg.*: not found"):
        read_blob(uris[0])


@pytest.mark.faults
def test_a_damaged_file_is_no_fault_of_the_store(put) -> None:
    parquet = put("p.parquet", CONTENT)
    good = put("good.jpg", b"good")
    first, second = found([cell_uri(parquet, 3, "image.bytes"), good])
    assert "p.parquet" in first
    assert "not a Parquet file, or damaged" in first
    assert second == b"good"


@pytest.mark.faults
@pytest.mark.parametrize("uri", ["nosuch://x/a.jpg", "s3://bucket/two words.jpg", "s3://"])
def test_a_uri_that_cannot_be_meant_is_one_missing_image(put, uri) -> None:
    good = put("good.jpg", b"good")
    first, second = found([uri, good])
    assert uri in first
    assert second == b"good"
    assert len(found([uri])) == 1


def gets(proxy: Proxy) -> list[str]:
    return [request.range for request in proxy.requests if request.kind == "GET"]


def test_neighbours_are_one_request(put_remote, proxy: Proxy) -> None:
    tar = put_remote("a.tar", CONTENT)
    places = [(1000 * number + 512, 400 + number) for number in range(300)]
    assert list(read_blobs([range_uri(tar, *place) for place in places])) == [
        CONTENT[offset : offset + size] for offset, size in places
    ]
    assert gets(proxy) == [f"bytes=512-{places[-1][0] + places[-1][1] - 1}"]


@pytest.mark.parametrize(
    ("places", "requests"),
    [([(0, 10), (10 + GAP, 10)], 1), ([(0, 10), (11 + GAP, 10)], 2), ([(50, 10), (20, 10)], 2),
     ([(0, 10), (5, 10)], 2), ([(0, 10), (0, 10)], 2), ([(10, 0), (10, 5)], 1)],
)  # fmt: skip
def test_ranges_that_lie_apart_are_requests_of_their_own(
    put_remote, proxy: Proxy, places, requests
) -> None:
    tar = put_remote("a.tar", CONTENT)
    assert list(read_blobs([range_uri(tar, *place) for place in places])) == [
        CONTENT[offset : offset + size] for offset, size in places
    ]
    assert len(gets(proxy)) == requests


def test_no_request_is_larger_than_a_span(put_remote, proxy: Proxy) -> None:
    size = SPAN // 4
    tar = put_remote("a.tar", bytes(6 * size))
    blobs = read_blobs([range_uri(tar, at * size, size) for at in range(6)])
    assert [len(blob) for blob in blobs] == [size] * 6
    assert sorted(gets(proxy)) == [f"bytes=0-{SPAN - 1}", f"bytes={SPAN}-{6 * size - 1}"]


def test_only_the_row_groups_that_are_asked_for_are_read(tmp_path, put_remote, proxy) -> None:
    size = 100_000
    cells = [bytes([at]) * size for at in range(8)]
    parquet = put_remote("p.parquet", table(tmp_path / "made", cells, group=2))
    uris = [cell_uri(parquet, row, "image.bytes") for row in (2, 3, 6)]
    assert list(read_blobs(uris)) == [cells[2], cells[3], cells[6]]
    read = 0
    for request in gets(proxy):
        first, last = request.removeprefix("bytes=").split("-")
        read += int(last) - int(first) + 1
    # Two row groups of two images, and the footer.
    assert 4 * size <= read < 4 * size + 80_000


@pytest.mark.faults
@pytest.mark.parametrize("kind", ["whole", "range", "cell"])
@pytest.mark.parametrize(
    ("answer", "reason"),
    [(refusing(403, "AccessDenied"), "no permission"), (hanging_up, "the connection failed")],
)
def test_a_store_that_fails_is_no_fault_of_the_image(
    tmp_path, put_remote, proxy: Proxy, monkeypatch, answer, reason, kind
) -> None:
    monkeypatch.setattr(product, "_ATTEMPTS", 2)
    file = put_remote("a.parquet", table(tmp_path / "made", [b"cell"] * 3, group=1))
    uri = {"whole": file, "range": range_uri(file, 0, 9), "cell": cell_uri(file, 1, "image.bytes")}
    proxy.trouble("HEAD", r"a\.parquet", answer, times=2)
    with pytest.raises(StoreError, match=reason) as caught:
        list(read_blobs([uri[kind]]))
    assert "/a.parquet: cannot be read" in caught.value.message
    assert caught.value.remedy
    proxy.troubles.clear()
    assert len(list(read_blobs([uri[kind]]))) == 1, "and the next time it is there"


@pytest.mark.faults
def test_an_unreachable_store_stops_the_reading(s3) -> None:
    with pytest.raises(StoreError, match="no connection"):
        list(read_blobs(["s3://bucket/a.jpg?endpoint_override=http%3A//127.0.0.1%3A1"]))
