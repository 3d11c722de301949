"""A real S3 protocol server in a process of its own, and a proxy in front of it that makes trouble.

Both listen on 127.0.0.1. The server is moto's; the proxy speaks HTTP over real sockets, so that the
SDKs meet what they meet in the field: status lines, error bodies and connections that break.
"""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
import pytest
from botocore.config import Config

from raypipe.errors import StoreError

ACCESS_KEY, SECRET_KEY = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
"""The credentials of AWS's own documentation: no one's."""

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_EC2_METADATA_DISABLED": "true",
    # A developer's own files must not be found.
    "AWS_CONFIG_FILE": "/nonexistent/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
}

ELSEWHERE = (
    "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION",
    "AWS_SESSION_TOKEN",
)  # fmt: skip
"""What a developer's environment may hold, and tests must not meet."""

PAGE = 50
"""Keys a page of a listing: AWS's 1,000 would take tests long to fill."""

_NUMBERS = count()


@dataclass(frozen=True)
class Store:
    """A server, or a proxy in front of one.

    Attributes:
        endpoint: Its URL.
        client: A boto3 client of the server itself, for tests to prepare and to look.
    """

    endpoint: str
    client: Any

    def bucket(self) -> str:
        """Make an empty bucket; return its name."""
        name = f"bucket{next(_NUMBERS)}"
        self.client.create_bucket(Bucket=name)
        return name

    def put(self, path: str, content: bytes = b"") -> None:
        """Store an object; the path begins with the bucket."""
        bucket, _, key = path.partition("/")
        self.client.put_object(Bucket=bucket, Key=key, Body=content)

    def get(self, path: str) -> bytes:
        """Return an object's content."""
        bucket, _, key = path.partition("/")
        return self.client.get_object(Bucket=bucket, Key=key)["Body"].read()

    def upload(self, folder: Path) -> str:
        """Store a folder, key by key, or a file in a bucket of its own; return the copy's path."""
        bucket = self.bucket()
        for file in (folder, *sorted(folder.rglob("*"))):
            if file.is_file():
                self.put(f"{bucket}/{file.relative_to(folder.parent)}", file.read_bytes())
        return f"{bucket}/{folder.name}"

    def keys(self, bucket: str) -> list[str]:
        """Return all keys of a bucket."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [found["Key"] for page in pages for found in page.get("Contents", ())]

    def uri(self, path: str, **options: str) -> str:
        """Return the URI of a path that reaches this store."""
        query = {"endpoint_override": self.endpoint} | options
        words = "&".join(f"{name}={quote(value)}" for name, value in query.items())
        return f"s3://{quote(path)}?{words}"


@contextmanager
def serving() -> Iterator[Store]:
    """Start a server and stop it in the end."""
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=os.environ | ENVIRONMENT | {"MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE)},
    )  # fmt: skip
    assert server.stderr is not None
    try:
        for line in server.stderr:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            raise RuntimeError("moto's server ended before it listened")
        # It writes a line a request; nobody reading them would stop it.
        threading.Thread(target=lambda: list(server.stderr or ()), daemon=True).start()
        client = boto3.client(
            "s3", endpoint_url=found[0], region_name="us-east-1", aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY, config=Config(s3={"addressing_style": "path"}),
        )  # fmt: skip
        yield Store(found[0], client)
    finally:
        server.kill()
        server.wait()


@dataclass(frozen=True)
class Request:
    """A request as it came.

    Attributes:
        kind: Its method, or `LIST` for a GET that lists.
        path: Bucket, key and query, quoted.
        range: The range of bytes that it asks for.
        key: The access key that signed it; empty if none did.
        region: The region that it is signed for.
    """

    kind: str
    path: str
    range: str
    key: str
    region: str


Answer = Callable[["_Handler"], None]
"""What to do with a request instead of passing it on."""


def refusing(status: int, code: str, message: str = "no", **headers: str) -> Answer:
    """Answer with S3's error of that code."""

    def answer(handler: _Handler) -> None:
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code>'
            f"<Message>{message}</Message><RequestId>{'R' * 16}</RequestId>"
            f"<HostId>{'H' * 76}</HostId></Error>"
        ).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        # S3 answers HEAD without a body.
        handler.reply(status, sent, b"" if handler.command == "HEAD" else body)

    return answer


def dropping(after: int) -> Answer:
    """Pass on, and break the connection after so many bytes of the content."""

    def answer(handler: _Handler) -> None:
        status, headers, body = handler.forwarded()
        assert len(body) > after, "there is nothing to cut"
        handler.reply(status, headers | {"Content-Length": str(len(body))}, body[:after])
        handler.close_connection = True

    return answer


def hanging_up(handler: _Handler) -> None:
    """Break the connection without an answer."""
    handler.close_connection = True


def meeting(others: threading.Barrier | threading.Event) -> Answer:
    """Pass on once so many requests are there at a time, or something has happened."""

    def answer(handler: _Handler) -> None:
        others.wait(timeout=20)
        handler.reply(*handler.forwarded())

    return answer


@dataclass
class Trouble:
    """What goes wrong.

    Attributes:
        kind: Of the requests: GET, PUT, HEAD, LIST, POST, DELETE.
        path: Regular expression that is found in their paths.
        answer: What happens instead.
        times: How often; None = always.
    """

    kind: str
    path: str
    answer: Answer
    times: int | None = None


@dataclass
class Proxy:
    """A proxy in front of a server.

    Attributes:
        store: Reaches the server through the proxy.
        troubles: The first that fits a request and is not used up happens.
        requests: What came.
    """

    store: Store
    troubles: list[Trouble] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def trouble(self, kind: str, path: str, answer: Answer, times: int | None = None) -> None:
        """Let something go wrong from now on."""
        self.troubles.append(Trouble(kind, path, answer, times))

    @property
    def kinds(self) -> list[str]:
        """What came, in order."""
        return [one.kind for one in self.requests]

    def taken(self, request: Request) -> Answer | None:
        """Note a request; return what shall go wrong with it."""
        with self.lock:
            self.requests.append(request)
            for one in self.troubles:
                fits = one.kind == request.kind and re.search(one.path, request.path)
                if fits and one.times != 0:
                    one.times = one.times and one.times - 1
                    return one.answer
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy
    target: str

    def handle_request(self) -> None:
        self.body = self._received()
        parts = urlsplit(self.path)
        kind = self.command
        if kind == "GET" and "list-type=2" in parts.query:
            kind = "LIST"
        signed = re.search(r"Credential=(\w+)/\d+/([\w-]+)/", self.headers.get("Authorization", ""))
        key, region = signed.groups() if signed else ("", "")
        request = Request(kind, self.path, self.headers.get("Range", ""), key, region)
        try:
            if answer := self.proxy.taken(request):
                answer(self)
            else:
                self.reply(*self.forwarded())
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request  # noqa: N815

    def _received(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            content = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return content
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def forwarded(self) -> tuple[int, dict[str, str], bytes]:
        """Pass the request on; return status, headers and content of the answer."""
        connection = http.client.HTTPConnection(self.target, timeout=60)
        headers = {
            name: value for name, value in self.headers.items()
            if name.lower() not in {"transfer-encoding", "content-length", "expect"}
        }  # fmt: skip
        connection.request(
            self.command, self.path, self.body, headers | {"Content-Length": str(len(self.body))}
        )
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        hop = {"connection", "transfer-encoding", "date", "server"}
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in hop}
        return answer.status, kept, content

    def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        """Answer; a `Content-Length` among the headers goes before the content's own."""
        self.send_response(status)
        if not any(name.lower() == "content-length" for name in headers) and status != 204:
            headers = headers | {"Content-Length": str(len(body))}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Stay quiet."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            traceback.print_exc()


@contextmanager
def proxied(store: Store) -> Iterator[Proxy]:
    """Put a proxy in front of a server."""
    handler = type("Handler", (_Handler,), {"target": urlsplit(store.endpoint).netloc})
    server = _Server(("127.0.0.1", 0), handler)
    proxy = Proxy(Store(f"http://127.0.0.1:{server.server_address[1]}", store.client))
    handler.proxy = proxy
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


def refusal(call: Callable[[], Any], path: str) -> StoreError:
    """Return the error, once it is known to name bucket and key, and nothing secret."""
    with pytest.raises(StoreError) as caught:
        call()
    error = caught.value
    assert error.message.startswith(f"s3://{path}"), error.message
    assert error.remedy
    assert "\n" not in error.message
    said = "".join(traceback.format_exception(error)) + repr(error) + error.to_json()
    assert ACCESS_KEY not in said
    assert SECRET_KEY not in said
    return error
