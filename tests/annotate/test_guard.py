"""Who may talk to the server when it listens on more than loopback, and what it says in trouble."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from raypipe.annotate.guard import Guard, is_loopback
from raypipe.annotate.serve import application, site
from raypipe.annotate.session import Session
from raypipe.storage.run import Run
from tests.annotate.serving import said


def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


def ask(app: ASGIApp, url: str, body: Any = None, token: str = "") -> httpx.Response:
    """Send one request to an application in this process."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, cookies={"raypipe-80": token}) as client:
            return await client.request("GET" if body is None else "POST", url, json=body)

    # In a thread of its own: the browser's tests leave a loop in this one.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(send())).result()


def status(listening: str, host: str) -> int:
    app = Guard(Starlette(routes=[Route("/", hello)]), token="t", host=listening, port=80)
    return ask(app, f"http://{host}/", token="t").status_code


@pytest.mark.parametrize(
    ("listening", "own", "others"),
    [
        ("127.0.0.1", ["127.0.0.1:80", "localhost:9", "[::1]"], ["10.0.0.1", "a.test"]),
        ("localhost", ["localhost", "127.0.0.1"], ["localhost.a.test"]),
        ("::1", ["[::1]:80", "localhost"], ["[::2]"]),
        ("10.0.0.1", ["10.0.0.1:80"], ["localhost", "10.0.0.2", "a.test"]),
        ("0.0.0.0", ["10.0.0.1:80", "[fe80::1]:80", "localhost"], ["a.test", "10.0.0.1.a.test"]),
    ],
)  # fmt: skip
def test_only_own_names_are_served(listening: str, own: list[str], others: list[str]) -> None:
    assert [status(listening, host) for host in own] == [200] * len(own)
    assert [status(listening, host) for host in others] == [403] * len(others)


def test_what_others_reach_is_known() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")] == [
        True, True, True, True,
    ]  # fmt: skip
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "a.test"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::1"])
def test_the_link_names_a_place_that_can_be_opened(run: Run, host: str) -> None:
    made = site(run, host=host, port=0)
    port = made.listener.getsockname()[1]
    made.listener.close()
    assert made.public == (host == "0.0.0.0")
    assert "0.0.0.0" not in made.url
    assert f":{port}/?token=" in made.url
    assert ("[::1]" in made.url) == (host == "::1")


@pytest.mark.faults
def test_an_answer_that_cannot_be_saved_is_not_acknowledged(run: Run) -> None:
    app = application(Session(run), run.step("sheets"))
    answer, state = "http://127.0.0.1/api/answer", "http://127.0.0.1/api/state?annotator=ann"
    body = said(run, "cat", 1, "object")
    run.step("labels").write_bytes(b"a file where the folder should be")
    refused = ask(app, answer, body)
    assert refused.status_code == 503
    assert "labels" in refused.json()["error"]
    run.step("labels").delete()
    assert ask(app, answer, body).json()["saved"]
    run.step("cluster").delete()
    refused = ask(app, state)
    assert refused.status_code == 503
    assert "raypipe cluster" in refused.json()["error"]
