"""Data sets in a store that makes trouble while they are read, after they are opened."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import pytest

from raypipe.config import DatasetConfig
from raypipe.datasets.ilsvrc import Ilsvrc
from raypipe.datasets.manifest import Manifest
from raypipe.datasets.parquet import Parquet
from raypipe.datasets.tars import read_compressed
from raypipe.datasets.webdataset import WebDataset
from raypipe.errors import InputError, StoreError
from raypipe.storage.location import Location
from tests.datasets.conftest import tar_of
from tests.s3 import Proxy, dropping, refusal, refusing

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("two_tries")]

CONTENT = bytes(range(256)) * 20


def archive(*names: str) -> bytes:
    return tar_of(*((name, CONTENT) for name in names))


def train() -> bytes:
    return tar_of(("n01.tar", archive("n01_1.JPEG", "n01_2.JPEG")))


LISTS: dict[str, tuple[str, bytes, Callable[[Location], list[Any]]]] = {
    "ilsvrc": (
        "ILSVRC2012_img_train.tar", train(),
        lambda root: list(Ilsvrc(DatasetConfig(), root).images("train")),
    ),
    "webdataset": (
        "0.tar", archive("a.jpg", "b.jpg"),
        lambda root: list(WebDataset(DatasetConfig(), root).images("train")),
    ),
    "manifest": (
        "list.csv", b"uri,class\n" + b"a.jpg,cat\n" * 9,
        lambda root: list(Manifest(DatasetConfig(), root / "list.csv").images("train")),
    ),
    "compressed": (
        "boxes.tgz", gzip.compress(tar_of(("a.xml", b"<a/>"), ("b.xml", b"<b/>"))),
        lambda root: list(read_compressed(root / "boxes.tgz", (".xml",))),
    ),
}  # fmt: skip
"""Files that are read here and there, or bit by bit, after they are opened."""


@pytest.mark.parametrize("layout", LISTS)
def test_what_is_read_bit_by_bit_survives_a_drop(s3, proxy: Proxy, layout) -> None:
    name, content, read = LISTS[layout]
    path = f"{s3.bucket()}/set"
    s3.put(f"{path}/{name}", content)
    root = Location.of(proxy.store.uri(path))
    expected = read(root)
    assert len(expected) >= 2
    proxy.trouble("GET", name, dropping(20), times=1)
    assert read(root) == expected
    proxy.trouble("GET", name, dropping(20))
    error = refusal(lambda: read(root), f"{path}/{name}")
    assert "the connection failed" in error.message


@pytest.mark.parametrize("dataset", [Parquet, Manifest])
def test_a_parquet_file_that_may_not_be_read_is_not_called_damaged(s3, proxy, dataset) -> None:
    path = f"{s3.bucket()}/set/a.parquet"
    s3.put(path, CONTENT)
    proxy.trouble("GET", "parquet", refusing(403, "InvalidAccessKeyId", "No such key."))
    place = Location.of(proxy.store.uri(path))
    error = refusal(lambda: dataset(DatasetConfig(), place).classes(), path)
    assert "no permission" in error.message
    proxy.troubles.clear()
    with pytest.raises(InputError, match="not a Parquet file, or damaged") as caught:
        dataset(DatasetConfig(), place).classes()
    assert not isinstance(caught.value, StoreError)
    gone = Location.of(proxy.store.uri(path.replace("a.", "b.")))
    with pytest.raises(InputError, match="not found"):
        dataset(DatasetConfig(), gone).classes()


def test_a_compressed_archive_is_read_in_large_pieces(s3, proxy: Proxy) -> None:
    noise = [(f"{at}.xml", bytes(at * number % 251 for number in range(3000))) for at in range(99)]
    path = f"{s3.bucket()}/boxes.tgz"
    content = gzip.compress(tar_of(*noise), compresslevel=0)
    s3.put(path, content)
    found = list(read_compressed(Location.of(proxy.store.uri(path)), (".xml",)))
    assert found == noise
    whole = [request for request in proxy.requests if request.kind == "GET"]
    assert len(whole) <= 2, f"for {len(content)} bytes"
