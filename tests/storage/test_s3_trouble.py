"""Trouble with a store: what passes is waited for, what stays is said in words, secrets never."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from raypipe.errors import InputError, MissingError, StoreError
from raypipe.storage import s3 as product
from raypipe.storage.location import Location
from tests.s3 import (
    ACCESS_KEY,
    SECRET_KEY,
    Answer,
    Proxy,
    Request,
    Store,
    dropping,
    hanging_up,
    refusal,
    refusing,
)

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("two_tries")]

NUMBERS = count()
ATTEMPTS = product._ATTEMPTS
CONTENT = bytes(range(256)) * 20
NAME = "403_301.bin"  # a number in a key is no status of an answer

SLOW = refusing(503, "SlowDown", "Please reduce your request rate.")
BROKEN = refusing(500, "InternalError", "We encountered an internal error. Please try again.")

Call = Callable[[Location], Any]

CALLS: dict[str, tuple[str, Call, Any]] = {
    "look up": ("HEAD", lambda folder: (folder / NAME).exists(), True),
    "read": ("GET", lambda folder: (folder / NAME).read_bytes(), CONTENT),
    "read a range": ("GET", lambda folder: (folder / NAME).read_range(9, 500), CONTENT[9:509]),
    "read opened": ("GET", lambda folder: (folder / NAME).open().read(), CONTENT),
    "write": ("PUT", lambda folder: (folder / "new").write_bytes(CONTENT), None),
    "list": ("LIST", lambda folder: folder.names(), [NAME]),
    "list all": ("LIST", lambda folder: list(folder.files()), [NAME]),
}
"""What is done to a folder with one file: the request that matters, and what comes of it."""


@pytest.fixture
def path(proxy: Proxy, one) -> str:
    """A folder with one file."""
    path = f"{one[1]}/folder{next(NUMBERS)}"
    proxy.store.put(f"{path}/{NAME}", CONTENT)
    return path


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("answer", [SLOW, hanging_up], ids=["slow", "hang up"])
def test_what_passes_is_waited_for(path, proxy: Proxy, answer, name) -> None:
    kind, call, expected = CALLS[name]
    proxy.trouble(kind, "", answer, times=1)
    assert call(Location.of(proxy.store.uri(path))) == expected
    if name == "write":
        assert proxy.store.get(f"{path}/new") == CONTENT


def test_a_store_that_is_slow_several_times(proxy: Proxy, monkeypatch) -> None:
    monkeypatch.setattr(product, "_ATTEMPTS", ATTEMPTS)
    path = f"{proxy.store.bucket()}/set"  # what talks to another bucket is made anew
    proxy.store.put(f"{path}/{NAME}", CONTENT)
    proxy.trouble("GET", "", SLOW, times=2)
    proxy.trouble("LIST", "", BROKEN, times=3)
    place = Location.of(proxy.store.uri(path))
    assert (place / NAME).read_bytes() == CONTENT
    assert place.names() == [NAME]


@pytest.mark.parametrize("name", ["read", "read a range", "read opened", "list", "list all"])
def test_a_connection_that_drops_while_reading(path, proxy: Proxy, name) -> None:
    kind, call, expected = CALLS[name]
    proxy.trouble(kind, "", dropping(100), times=1)
    assert call(Location.of(proxy.store.uri(path))) == expected
    assert proxy.kinds.count(kind) >= 2


LASTING: dict[str, tuple[Answer, str, str]] = {
    "slow": (SLOW, "the store throttled every try", "later"),
    "broken": (BROKEN, "the store failed at every try", "later"),
    "hang up": (hanging_up, "the connection failed at every try", "s3.endpoint"),
}


@pytest.mark.parametrize("name", ["look up", "read", "write", "list"])
@pytest.mark.parametrize("trouble", LASTING)
def test_trouble_that_lasts_is_one_error(path, proxy: Proxy, trouble, name) -> None:
    answer, reason, remedy = LASTING[trouble]
    kind, call, _ = CALLS[name]
    proxy.trouble(kind, "", answer)
    place = Location.of(proxy.store.uri(path))
    error = refusal(lambda: call(place), path if name == "list" else f"{path}/")
    assert reason in error.message
    assert remedy in error.remedy
    assert len({request.path for request in proxy.requests if request.kind == kind}) == 1
    assert proxy.kinds.count(kind) >= 2, "it was tried again"


@pytest.mark.parametrize("name", ["read", "read a range", "read opened"])
def test_a_connection_that_always_drops(path, proxy: Proxy, name) -> None:
    proxy.trouble("GET", "", dropping(100))
    place = Location.of(proxy.store.uri(path))
    error = refusal(lambda: CALLS[name][1](place), f"{path}/{NAME}")
    assert "the connection failed at every try" in error.message
    assert proxy.kinds.count("GET") == 2


REGION = "the bucket is in another region"
REFUSED: dict[str, tuple[Answer, str, str]] = {
    "denied": (refusing(403, "AccessDenied", "Access Denied"), "no permission", "policy"),
    "unknown key": (
        refusing(403, "InvalidAccessKeyId", f"The Access Key Id {ACCESS_KEY} does not exist"),
        "no permission", "s3.profile",
    ),
    "wrong secret": (
        refusing(403, "SignatureDoesNotMatch", f"{ACCESS_KEY} {SECRET_KEY}"),
        "no permission", "credentials",
    ),
    "expired": (refusing(400, "ExpiredToken", "expired"), "have expired", "log in again"),
    "clock": (refusing(403, "RequestTimeTooSkewed", "skewed"), "clock is wrong", "set the clock"),
    "moved": (
        refusing(301, "PermanentRedirect", "elsewhere", x_amz_bucket_region="eu-west-1"),
        REGION, "s3.region",
    ),
    "signed for another region": (
        refusing(400, "AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong; expecting "
                 "'eu-west-1'", x_amz_bucket_region="eu-west-1"),
        REGION, "s3.region",
    ),
    "unheard of": (refusing(418, "Teapot", f"not with {ACCESS_KEY}"), "Teapot", "check the URI"),
}  # fmt: skip


@pytest.mark.parametrize("name", ["write", "list"])
@pytest.mark.parametrize("trouble", REFUSED)
def test_a_refusal_is_told_at_once_with_its_remedy(path, proxy: Proxy, trouble, name) -> None:
    answer, reason, remedy = REFUSED[trouble]
    kind, call, _ = CALLS[name]
    proxy.trouble(kind, "", answer)
    place = Location.of(proxy.store.uri(path))
    error = refusal(lambda: call(place), path)
    assert reason in error.message
    assert remedy in error.remedy
    assert proxy.kinds.count(kind) <= 2, "boto3 follows a redirection once"


@pytest.mark.parametrize("trouble", REFUSED)
def test_a_refused_read_says_at_least_what_its_status_says(path, proxy: Proxy, trouble) -> None:
    # pyarrow does not always find the code in the body, and then shows the status alone.
    answer, reason, _ = REFUSED[trouble]
    proxy.trouble("GET", "", answer)
    place = Location.of(proxy.store.uri(path)) / NAME
    error = refusal(place.read_bytes, f"{path}/{NAME}")
    assert any(words in error.message for words in (reason, "permission", "refuses", "UNKNOWN"))


@pytest.mark.parametrize(
    ("status", "headers", "reason", "remedy"),
    [(403, {}, "no permission", "policy"),
     (301, {"x_amz_bucket_region": "eu-west-1"}, REGION, "s3.region"),
     # A HEAD has no body that would say why.
     (400, {"x_amz_bucket_region": "eu-west-1"}, "", "s3.region"),
     (400, {}, "the store refuses the request", "expired")],
)  # fmt: skip
@pytest.mark.parametrize("name", ["look up", "read"])
def test_a_refusal_without_words(path, proxy, status, headers, reason, remedy, name) -> None:
    proxy.trouble("HEAD", "", refusing(status, "", "", **headers))
    place = Location.of(proxy.store.uri(path))
    error = refusal(lambda: CALLS[name][1](place), f"{path}/{NAME}")
    assert reason in error.message
    assert remedy in error.remedy


SMALL: dict[str, Call] = {
    "whole": lambda place: place.read_bytes(),
    "range": lambda place: place.read_range(0, 99),
    "opened": lambda place: place.open().read(),
}


@pytest.mark.parametrize("name", SMALL)
def test_an_answer_that_is_longer_than_what_was_asked_for(path, proxy: Proxy, name) -> None:
    """pyarrow takes it for content, and would neither try again nor tell what it was."""
    place = Location.of(proxy.store.uri(path)) / "small"
    proxy.store.put(f"{path}/small", b"few bytes")
    proxy.trouble("GET", "small", SLOW, times=1)
    assert SMALL[name](place) == b"few bytes"
    proxy.trouble("GET", "small", SLOW)
    error = refusal(lambda: SMALL[name](place), f"{path}/small")
    assert "the store throttled every try" in error.message
    proxy.troubles.clear()
    proxy.trouble("GET", "small", REFUSED["expired"][0])
    assert "have expired" in refusal(lambda: SMALL[name](place), f"{path}/small").message


def test_a_bucket_whose_policy_denies(s3: Store) -> None:
    bucket = s3.bucket()
    path = f"{bucket}/folder"
    s3.put(f"{path}/{NAME}", CONTENT)
    policy = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", '
        f'"Action": "s3:*", "Resource": "arn:aws:s3:::{bucket}/*"}}]}}'
    )
    s3.client.put_bucket_policy(Bucket=bucket, Policy=policy)
    place = Location.of(s3.uri(path))
    for call in ("look up", "read", "write"):
        error = refusal(lambda call=call: CALLS[call][1](place), f"{path}/")
        assert "no permission" in error.message


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:1", "127.0.0.1:1", "http://nowhere.invalid", "http://[::1]:1"]
)
def test_an_endpoint_that_nobody_listens_at(s3, endpoint) -> None:
    with pytest.raises(StoreError, match=r"^S3 endpoint https?://.*: no connection") as caught:
        Location.of(f"s3://bucket/x?endpoint_override={endpoint}")
    assert "s3.endpoint" in caught.value.remedy


@pytest.mark.parametrize(
    "endpoint", ["ftp://127.0.0.1:1", "127.0.0.1:port", "https://", "http:// "]
)
def test_an_endpoint_that_is_no_url(s3, monkeypatch, endpoint) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(InputError, match="^S3 endpoint: not a URL") as caught:
        Location.of("s3://bucket/x")
    assert "http://" in caught.value.remedy


@pytest.mark.parametrize("name", ["read", "write", "list"])
def test_the_wrong_scheme(s3: Store, path, name) -> None:
    uri = f"s3://{path}?endpoint_override={s3.endpoint.replace('http:', 'https:')}"
    error = refusal(lambda: CALLS[name][1](Location.of(uri)), path)
    assert "the connection failed" in error.message
    assert "http:// or https://" in error.remedy


def test_a_missing_bucket_and_a_missing_key(s3: Store, path) -> None:
    nowhere = Location.of(s3.uri("no-such-bucket/folder"))
    for call in ("write", "list", "list all"):
        error = refusal(lambda call=call: CALLS[call][1](nowhere), "no-such-bucket/folder")
        assert "there is no such bucket" in error.message
        assert "s3.endpoint" in error.remedy
    assert not nowhere.exists()
    folder = Location.of(s3.uri(path))
    for read in (nowhere.read_bytes, nowhere.open, (folder / "no").read_bytes,
                 (folder / "no").read_table, lambda: (folder / "no").read_range(0, 1)):  # fmt: skip
        with pytest.raises(MissingError, match=r"^s3://.*: not found") as caught:
            read()
        assert caught.value.remedy
    assert (folder / "no").names() == []


def test_a_write_that_fails_leaves_what_was_there(path, proxy: Proxy) -> None:
    place = Location.of(proxy.store.uri(path)) / NAME
    proxy.trouble("PUT", "", hanging_up)
    refusal(lambda: place.write_bytes(b"new"), f"{path}/{NAME}")
    with pytest.raises(TypeError):
        place.write_bytes(None)  # type: ignore[arg-type]
    assert proxy.store.get(f"{path}/{NAME}") == CONTENT


def test_a_write_is_one_request_and_a_read_two(path, proxy: Proxy) -> None:
    place = Location.of(proxy.store.uri(path)) / "large"
    place.write_bytes(CONTENT * 400)
    assert place.read_bytes() == CONTENT * 400
    assert proxy.kinds == ["PUT", "HEAD", "GET"]


def test_a_listing_that_breaks_off_on_a_later_page(s3, proxy: Proxy) -> None:
    bucket = s3.bucket()
    for number in range(60):
        s3.put(f"{bucket}/set/{number:03d}")
    proxy.trouble("LIST", "continuation-token", SLOW, times=1)
    place = Location.of(proxy.store.uri(f"{bucket}/set"))
    assert len(place.names()) == 60
    proxy.trouble("LIST", "continuation-token", SLOW)
    refusal(place.names, f"{bucket}/set/")


def test_the_proxy_reports_what_came(path, proxy: Proxy) -> None:
    (Location.of(proxy.store.uri(path)) / NAME).read_range(3, 4)
    assert proxy.requests[1] == Request(
        "GET", f"/{path}/{NAME}", "bytes=3-6", ACCESS_KEY, "us-east-1"
    )
