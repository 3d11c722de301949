"""A proxy that makes trouble between the product and the store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from raypipe.storage import s3 as product
from tests.s3 import Proxy, Store, proxied


@pytest.fixture(scope="module")
def one(s3_server: Store) -> Iterator[tuple[Proxy, str]]:
    """A proxy and a bucket: one client for all tests, which takes long to make."""
    with proxied(s3_server) as proxy:
        yield proxy, s3_server.bucket()


@pytest.fixture
def proxy(s3: Store, one) -> Proxy:
    one[0].troubles.clear()
    one[0].requests.clear()
    return one[0]


@pytest.fixture
def two_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product, "_ATTEMPTS", 2)
