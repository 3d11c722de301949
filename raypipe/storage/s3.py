"""S3 and what speaks its protocol: options that a URI carries, listing, and errors in words.

s3://bucket/prefix?endpoint_override=http%3A//127.0.0.1%3A9000&region=eu-west-1&anonymous=true

Credentials are found on each machine where S3 is used, as every AWS tool finds them (environment,
profile, instance role). They are never part of a URI, so they reach no table, message or pickle.
"""

from __future__ import annotations

import os
import posixpath
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from raypipe.errors import InputError, StoreError
from raypipe.storage.s3_errors import is_answer, refused, without_query

_ATTEMPTS = 7
"""Tries of a request, with waits that double up to 20 s: about half a minute of throttling."""

_CONNECT, _READ = 10.0, 60.0  # seconds until a try counts as failed
_LISTED_AT_A_TIME = 16  # prefixes; S3 allows 5,500 listings a second
_REGION = "us-east-1"  # what stores with an endpoint of their own take for any region


@dataclass(frozen=True)
class S3Options:
    """How to reach a bucket.

    Attributes:
        endpoint: URL of a store other than AWS; empty = AWS, or `AWS_ENDPOINT_URL`.
        region: Of the bucket; empty = as configured for AWS tools, or asked of S3.
        anonymous: Send no credentials.
        profile: Of the AWS configuration file; empty = the default credentials.
    """

    endpoint: str = ""
    region: str = ""
    anonymous: bool = False
    profile: str = ""

    @classmethod
    def of_query(cls, query: str, uri: str) -> S3Options:
        """Read the options of a URI's query.

        Raises:
            InputError: If there are others.
        """
        found = dict(parse_qsl(query, keep_blank_values=True))
        scheme, endpoint = found.pop("scheme", ""), found.pop("endpoint_override", "")
        if endpoint and "://" not in endpoint:
            endpoint = f"{scheme or 'https'}://{endpoint}"
        options = cls(
            endpoint=endpoint.rstrip("/"),
            region=found.pop("region", ""),
            anonymous=found.pop("anonymous", "").lower() in {"true", "1"},
            profile=found.pop("profile", ""),
        )
        if found:
            raise InputError(
                f"{without_query(uri)}: unknown option {', '.join(sorted(found))}",
                "known are endpoint_override, region, anonymous and profile",
            )
        return options

    def query(self) -> str:
        """Return the options as a URI's query."""
        values = {
            "endpoint_override": self.endpoint,
            "region": self.region,
            "anonymous": "true" if self.anonymous else "",
            "profile": self.profile,
        }
        return "&".join(f"{name}={quote(value)}" for name, value in values.items() if value)

    def over(self, other: S3Options) -> S3Options:
        """Return these options, and the other's where these say nothing."""
        return S3Options(
            self.endpoint or other.endpoint,
            self.region or other.region,
            self.anonymous or other.anonymous,
            self.profile or other.profile,
        )


def parse(uri: str) -> tuple[str, S3Options]:
    """Return the path, bucket first, and the options of a URI.

    Raises:
        InputError: If it is malformed, or holds credentials.
    """
    parts = urlsplit(uri)
    # KEY:SECRET@bucket; of a secret with a slash in it the host is KEY:SEC alone.
    if "@" in parts.netloc or ":" in parts.netloc:
        raise InputError(
            "an S3 URI holds credentials, which would end up in tables",
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile",
        )
    if not parts.netloc or any(letter.isspace() for letter in uri) or parts.fragment:
        raise InputError(
            f"{without_query(uri)}: not an S3 URI",
            "write s3://bucket/prefix, special characters as %XX",
        )
    path = posixpath.join(parts.netloc, unquote(parts.path).strip("/"))
    return path.rstrip("/"), S3Options.of_query(parts.query, uri)


def with_options(uri: str, options: S3Options) -> str:
    """Return a URI with the options that it does not have itself; others stay as they are."""
    if not uri.startswith("s3://"):
        return uri
    query = parse(uri)[1].over(options).query()
    base = without_query(uri)
    return f"{base}?{query}" if query else base


@lru_cache(maxsize=64)
def filesystem(options: S3Options, bucket: str) -> fs.S3FileSystem:
    """Return the filesystem to reach a bucket; one a process.

    Raises:
        StoreError: If the endpoint does not answer, or the profile or the region is unknown.
    """
    endpoint = _endpoint(options)
    if endpoint:
        _require_answer(endpoint)
    keys = _credentials(options.profile) if options.profile and not options.anonymous else {}
    return fs.S3FileSystem(
        anonymous=options.anonymous,
        region=_region(options, bucket),
        endpoint_override=urlsplit(endpoint).netloc or None,
        scheme=urlsplit(endpoint).scheme or "https",
        connect_timeout=_CONNECT,
        request_timeout=_READ,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        allow_bucket_creation=False,
        **keys,
    )


@lru_cache(maxsize=64)
def _client(options: S3Options, bucket: str) -> Any:  # noqa: ANN401 -- botocore makes its classes
    """Return a boto3 client; they are fit for threads."""
    import botocore
    from botocore.config import Config

    endpoint = _endpoint(options)
    signed = {"signature_version": botocore.UNSIGNED} if options.anonymous else {}
    config = Config(
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        connect_timeout=_CONNECT,
        read_timeout=_READ,
        max_pool_connections=_LISTED_AT_A_TIME,
        s3={"addressing_style": "path"} if endpoint else None,
        # Many stores other than AWS know no checksums behind the content, boto3's default.
        request_checksum_calculation="when_required" if endpoint else "when_supported",
        **signed,
    )
    return _session(options.profile).client(
        "s3",
        region_name=_region(options, bucket),
        endpoint_url=endpoint or None,
        config=config,
    )


def children(options: S3Options, path: str) -> Iterator[fs.FileInfo]:
    """Yield the objects and prefixes directly below a path, sorted within each page."""
    bucket, prefix = _split(path)
    for page in _pages(options, bucket, prefix, delimiter="/"):
        for found in page.get("CommonPrefixes", ()):
            yield fs.FileInfo(f"{bucket}/{found['Prefix'].rstrip('/')}", fs.FileType.Directory)
        yield from _objects(bucket, prefix, page)


def descendants(options: S3Options, path: str) -> Iterator[fs.FileInfo]:
    """Yield every object below a path, folder by folder; several prefixes are listed at a time."""
    bucket, _ = _split(path)
    found = sorted(children(options, path), key=lambda info: info.path)
    folders = [info.path for info in found if info.type == fs.FileType.Directory]
    pool = ThreadPoolExecutor(_LISTED_AT_A_TIME, thread_name_prefix="list")
    try:
        # A few ahead, so that memory does not grow with the number of prefixes.
        ahead = 2 * _LISTED_AT_A_TIME
        listing = {name: pool.submit(_flat, options, bucket, name) for name in folders[:ahead]}
        position = 0
        for info in found:
            if info.type == fs.FileType.File:
                yield info
                continue
            yield from listing.pop(info.path).result()
            position += 1
            if position + ahead <= len(folders):
                name = folders[position + ahead - 1]
                listing[name] = pool.submit(_flat, options, bucket, name)
    finally:
        # After an error, or when the caller has enough: what has not begun is not begun.
        pool.shutdown(wait=False, cancel_futures=True)


def _flat(options: S3Options, bucket: str, path: str) -> list[fs.FileInfo]:
    prefix = _split(path)[1]
    found = [
        info
        for page in _pages(options, bucket, prefix, delimiter="")
        for info in _objects(bucket, prefix, page)
    ]
    # S3 sorts whole keys, and `a-b/` comes before `a/`; a disk's folders are sorted by name.
    return sorted(found, key=lambda info: info.path.split("/"))


def _pages(
    options: S3Options, bucket: str, prefix: str, *, delimiter: str
) -> Iterator[dict[str, Any]]:
    """Yield the pages of a listing, 1,000 keys each."""
    with _asked(f"s3://{bucket}/{prefix}", "listed"):
        pages = _client(options, bucket).get_paginator("list_objects_v2")
        yield from pages.paginate(Bucket=bucket, Prefix=prefix, Delimiter=delimiter)


def put(options: S3Options, path: str, content: bytes | pa.Buffer) -> None:
    """Write an object in one request, so that it is there whole or not at all.

    A pyarrow stream would publish what it has when an exception comes between opening and writing,
    and takes three requests.

    Raises:
        StoreError: If the store refuses or does not answer.
    """
    bucket, _, key = path.partition("/")
    with _asked(f"s3://{path}", "written"):
        body = pa.BufferReader(content)
        _client(options, bucket).put_object(Bucket=bucket, Key=key, Body=body)


def ask(options: S3Options, path: str) -> None:
    """Read a byte with boto3: it waits while a store throttles, and its errors say why.

    Raises:
        StoreError: If the store refuses or does not answer.
    """
    bucket, _, key = path.partition("/")
    with _asked(f"s3://{path}", "read"):
        found = _client(options, bucket).get_object(Bucket=bucket, Key=key, Range="bytes=0-0")
        found["Body"].close()


@contextmanager
def _asked(uri: str, verb: str) -> Iterator[None]:
    """Explain boto3's errors."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise refused(uri, error, verb) from None


def _objects(bucket: str, prefix: str, page: dict[str, Any]) -> Iterator[fs.FileInfo]:
    for found in page.get("Contents", ()):
        # A zero-byte key that ends in a slash is how some tools make a folder.
        if found["Key"] != prefix and not found["Key"].endswith("/"):
            modified = found["LastModified"]
            yield fs.FileInfo(
                f"{bucket}/{found['Key']}", fs.FileType.File, size=found["Size"], mtime=modified
            )


def _split(path: str) -> tuple[str, str]:
    """Return bucket and prefix, which ends in a slash unless it is empty."""
    bucket, _, key = path.partition("/")
    return bucket, f"{key.rstrip('/')}/" if key.strip("/") else ""


def _endpoint(options: S3Options) -> str:
    """Return the endpoint's URL: the one asked for, else the one that AWS tools are told.

    Raises:
        InputError: If it is none.
    """
    configured = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    found = options.endpoint or configured or ""
    if found and not re.fullmatch(r"https?://([^\s@/:\[\]]+|\[[0-9a-fA-F:]+\])(:\d+)?/?", found):
        shown = "it holds credentials" if "@" in found else found
        raise InputError(
            f"S3 endpoint: not a URL of a store ({shown})",
            "write it as http://127.0.0.1:9000 or https://storage.example.org",
        )
    return found.rstrip("/")


def _session(profile: str) -> Any:  # noqa: ANN401 -- boto3 has no types
    import boto3
    from botocore.exceptions import BotoCoreError, ProfileNotFound

    try:
        return boto3.Session(profile_name=profile or None)
    except ProfileNotFound:
        name = profile or os.environ.get("AWS_PROFILE", "")
        raise StoreError(
            f"AWS profile {name!r}: not found on this machine",
            "check s3.profile, AWS_PROFILE and ~/.aws/config",
        ) from None
    except BotoCoreError as error:
        raise StoreError(
            f"the configuration of AWS tools cannot be read ({type(error).__name__})",
            "mend ~/.aws/config and ~/.aws/credentials",
        ) from None


def _credentials(profile: str) -> dict[str, str | None]:
    from botocore.exceptions import BotoCoreError

    try:
        found = _session(profile).get_credentials()
        keys = found.get_frozen_credentials() if found else None
    except BotoCoreError as error:
        raise StoreError(
            f"AWS profile {profile!r}: its credentials cannot be had ({type(error).__name__})",
            "log in, or mend ~/.aws/config and ~/.aws/credentials",
        ) from None
    if keys is None:
        raise StoreError(
            f"AWS profile {profile!r}: has no credentials", "log in, or add them to the profile"
        )
    return {
        "access_key": keys.access_key,
        "secret_key": keys.secret_key,
        "session_token": keys.token,
    }


@lru_cache(maxsize=64)
def _region(options: S3Options, bucket: str) -> str:
    """Return the region asked for, else the configured one, else the one that S3 names."""
    configured = (
        options.region
        or os.environ.get("AWS_REGION")
        or os.environ.get("AWS_DEFAULT_REGION")
        or _session(options.profile).region_name
    )
    if configured or _endpoint(options):
        return str(configured or _REGION)
    try:
        return str(fs.resolve_s3_region(bucket))
    except OSError as error:
        if is_answer(error):
            raise refused(f"s3://{bucket}", error, "found") from None
        raise StoreError(f"s3://{bucket}: not found on AWS", "check the bucket's name") from None


def _require_answer(endpoint: str) -> None:
    """Raise if nobody listens there: the SDK would try for half a minute.

    Raises:
        StoreError: Naming the endpoint.
    """
    parts = urlsplit(endpoint)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=_CONNECT).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(
            f"S3 endpoint {endpoint}: no connection ({reason})",
            "check s3.endpoint (or AWS_ENDPOINT_URL) and the network",
        ) from None
