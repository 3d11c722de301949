"""`raypipe annotate` as a process: what it refuses, and that no kill loses an answer."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from raypipe.annotate import labels
from raypipe.errors import UsageError
from raypipe.storage.run import Run, slug
from tests.annotate.conftest import World
from tests.annotate.serving import Served, said, serving, sheeted
from tests.conftest import RunCli
from tests.s3 import Store

EVIL = "<script>alert(1)</script>/../x"


def _regions() -> list[tuple[int, str, int, int, float]]:
    return [(number, f"image{number}", row, 0, 1.0) for number in (1, 2) for row in (1, 3)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Run:
    world = World(tmp_path_factory.mktemp("served"), {"cat": _regions(), EVIL: _regions()})
    return sheeted(world.run())


@pytest.fixture(scope="module")
def served(place: Run) -> Iterator[Served]:
    with serving(place) as served:
        yield served


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    """A client that has opened the link; whatever was refused, the server serves afterwards."""
    with served.client() as client:
        yield client
        assert client.get("/api/state", params={"annotator": "after"}).status_code == 200
        assert client.get("/").status_code == 200


def until(true: Callable[[], bool]) -> None:
    """Wait: what a process says comes through a pipe."""
    for _ in range(200):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("in vain")


def refused(served: Served, answer: httpx.Response, status: int, reason: str) -> None:
    assert answer.status_code == status, answer.text
    assert reason in answer.json()["error"]
    assert set(answer.json()) == {"error"}
    until(lambda: any(f"refused: {status} " in one and reason in one for one in served.said[-5:]))
    assert not any("Traceback" in line for line in served.said)


def test_the_link_sets_a_cookie_and_pages_know_the_api(served: Served, place: Run) -> None:
    with httpx.Client(base_url=served.base) as client:
        first = client.get(served.url)
        cookie = first.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert 'http-equiv="refresh" content="0; url=/"' in first.text
        page = client.get("/cat.html")
        assert page.text.count('<head><meta name="raypipe-api" content="api/">') == 1
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert client.get("/").text.startswith("<!doctype html>")
        assert client.get("/cat.png").content == (place.step("sheets") / "cat.png").read_bytes()
        evil = client.get(f"/{quote(slug(EVIL))}.html")
        assert evil.text.count('<meta name="raypipe-api"') == 1


@pytest.mark.faults
@pytest.mark.parametrize("token", [None, "", "wrong", "é", "x" * 5000])
def test_without_the_token_nothing_is_served(served: Served, client, token: str | None) -> None:
    with httpx.Client(base_url=served.base, headers={"origin": served.base}) as stranger:
        if token is not None:
            refused(served, stranger.get("/", params={"token": token}), 403, "token")
            stranger.cookies.set(f"raypipe-{served.port}", "wrong")
        for path in ("/", "/cat.html", "/api/state?annotator=ann", "/gone", "/?x=1"):
            refused(served, stranger.get(path), 403, "no or wrong token")
        for path in ("/api/answer", "/api/undo", "/?token=wrong"):
            refused(served, stranger.post(path, json={}), 403, "no or wrong token")


@pytest.mark.faults
@pytest.mark.parametrize("origin", [None, "null", "http://evil.test", "http://127.0.0.1:1", "same"])
def test_only_pages_of_this_server_write(served: Served, place: Run, client, origin) -> None:
    del client.headers["origin"]
    before = len(labels.history(place))
    own = {} if origin is None else {"origin": origin.replace("same", f"https://{served.base[7:]}")}
    for path in ("/api/answer", "/api/undo", "/api/redo"):
        answer = client.post(path, json=said(place, "cat", 1, "object"), headers=own)
        refused(served, answer, 403, "another origin")
    if origin is not None:
        state = client.get("/api/state", params={"annotator": "ann"}, headers=own)
        refused(served, state, 403, "another origin")
    assert len(labels.history(place)) == before


@pytest.mark.faults
@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1.evil.test", "", "[::2]:80", "evil\x7f"])
def test_another_host_name_is_refused(served: Served, client, host: str) -> None:
    headers = {"host": host, "origin": f"http://{host}"}
    refused(served, client.get("/", headers=headers), 403, "not a name of this server")
    answer = client.post("/api/undo", json={"annotator": "ann"}, headers=headers)
    refused(served, answer, 403, "not a name of this server")


def test_a_tunnel_may_have_another_port(client) -> None:
    headers = {"host": "localhost:9000", "origin": "http://localhost:9000"}
    answer = client.post("/api/undo", json={"annotator": "tunnel"}, headers=headers)
    assert answer.json()["changed"] is None


@pytest.mark.faults
@pytest.mark.parametrize(
    ("status", "reason", "changes"),
    [
        (404, "no cluster 7 of cat", {"cluster": 7, "membership": "?"}),
        (404, "no cluster 1 of horse", {"class": "horse"}),
        (404, "no cluster", {"class": "x" * 9999}),
        (409, "holds other regions now", {"membership": "0123456789abcdef"}),
        (400, "cluster", {"cluster": "1"}),
        (400, "cluster", {"cluster": 0}),
        (400, "cluster", {"cluster": 2**70}),
        (400, "cluster", {"cluster": True}),
        (400, "verdict", {"verdict": "withdrawn"}),
        (400, "verdict", {"verdict": None}),
        (400, "annotator", {"annotator": "  "}),
        (400, "annotator", {"annotator": "a\nb"}),
        (400, "annotator", {"annotator": "a" * 81}),
        (400, "annotator", {"annotator": ["ann"]}),
        (400, "seconds", {"seconds": -1}),
        (400, "seconds", {"seconds": "1"}),
        (400, "note", {"note": "n" * 10_001}),
    ],
)
def test_an_answer_that_does_not_fit(
    served: Served, place: Run, client, status: int, reason: str, changes: dict
) -> None:
    before = len(labels.history(place))
    answer = client.post("/api/answer", json=said(place, "cat", 1, "object") | changes)
    refused(served, answer, status, reason)
    assert len(labels.history(place)) == before


@pytest.mark.faults
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"annotator": "ann"}', b"[" * 50_000,
     b'{"annotator": "\\ud800"}', b'{"annotator": "ann", "seconds": NaN}'],
)  # fmt: skip
def test_malformed_json(served: Served, client, content: bytes) -> None:
    kind = {"content-type": "application/json"}
    refused(served, client.post("/api/answer", content=content, headers=kind), 400, "")
    form = {"content-type": "text/plain"}
    refused(served, client.post("/api/answer", content=content, headers=form), 415, "content type")


@pytest.mark.faults
def test_a_body_of_ten_megabytes(served: Served, place: Run, client) -> None:
    large = b'{"annotator": "' + b"a" * 10_000_000 + b'"}'
    kind = {"content-type": "application/json"}
    refused(served, client.post("/api/answer", content=large, headers=kind), 413, "65536 bytes")

    def pieces() -> Iterator[bytes]:  # without a Content-Length
        yield from (large[place : place + 20_000] for place in range(0, len(large), 20_000))

    refused(served, client.post("/api/undo", content=pieces(), headers=kind), 413, "65536 bytes")


@pytest.mark.faults
def test_methods_and_places_that_are_not_there(served: Served, client) -> None:
    refused(served, client.get("/api/answer"), 405, "Method Not Allowed")
    refused(served, client.delete("/cat.html"), 405, "Method Not Allowed")
    refused(served, client.get("/manifest.json"), 404, "no such page")
    refused(served, client.get("/dog.html"), 404, "no such page")
    refused(served, client.get("/a%00.html"), 404, "no such page")
    refused(served, client.get("/api/state"), 400, "annotator")


@pytest.mark.faults
@pytest.mark.parametrize(
    "path", ["/../../labels", "/..", "/%2e%2e/manifest.json", "/..%2fsettings.json",
             "//etc/passwd", "/%2Fetc%2Fpasswd.html", "/....//x.html", "http://evil.test/x.html"]
)  # fmt: skip
def test_no_way_out_of_the_folder(served: Served, client, path: str) -> None:
    """As raw requests: clients tidy such paths up."""
    cookie = f"raypipe-{served.port}={client.cookies[f'raypipe-{served.port}']}"
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", f"127.0.0.1:{served.port}")
    connection.putheader("Cookie", cookie)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 404
    assert set(json.loads(answer.read())) == {"error"}
    connection.close()
    until(lambda: "refused: 404 GET" in served.said[-1])


@pytest.mark.faults
def test_what_is_no_http_at_all(served: Served, client) -> None:
    for content in (b"\x16\x03\x01\x02", b"GET / HTTP/9.9\r\n\r\n", b"POST " + b"a" * 100_000):
        with socket.create_connection(("127.0.0.1", served.port), 10) as connection:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            try:
                while connection.recv(65536):
                    pass
            except ConnectionResetError:
                pass


def test_two_annotators_at_once(served: Served, place: Run) -> None:
    keys = [key for key in labels.clusters_of(place).memberships if key[0] == "cat"]

    def work(who: str, verdict: str) -> None:
        with served.client() as client:
            for key in keys:
                state = client.post("/api/answer", json=said(place, *key, verdict, who)).json()
                assert state["saved"]
                seen = client.get("/api/state", params={"annotator": who}).json()["answers"]
                assert {row["verdict"] for row in seen} == {verdict}

    workers = [
        threading.Thread(target=work, args=(f"person {verdict}", verdict))
        for verdict in ("object", "distractor")
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = labels.answers(place).to_pylist()
    for verdict in ("object", "distractor"):
        own = [row["verdict"] for row in found if row["annotator"] == f"person {verdict}"]
        assert own == [verdict] * len(keys)


@pytest.mark.faults
def test_a_kill_loses_nothing_that_was_acknowledged(make_world, two_clusters) -> None:
    run = sheeted(make_world({"cat": two_clusters(), "dog": two_clusters()}).run())
    acknowledged = []
    with serving(run) as served:
        killer = threading.Timer(0.7, served.process.kill)
        with served.client() as client:
            killer.start()
            try:
                while len(acknowledged) < 5000:
                    verdict = ("object", "distractor")[len(acknowledged) % 2]
                    answer = client.post("/api/answer", json=said(run, "cat", 1, verdict))
                    assert answer.json()["saved"]
                    acknowledged.append(verdict)
            except httpx.TransportError:
                pass
        assert served.process.wait(10) == -signal.SIGKILL
    assert len(acknowledged) > 3
    recorded = [row["verdict"] for row in labels.history(run)]
    assert recorded[: len(acknowledged)] == acknowledged
    assert len(recorded) <= len(acknowledged) + 1  # the answer that was under way
    with serving(run) as served, served.client() as client:
        state = client.get("/api/state", params={"annotator": "ann"}).json()
        assert [row["verdict"] for row in state["answers"]] == recorded[-1:]
        back = client.post("/api/undo", json={"annotator": "ann"}).json()
        assert back["changed"]["verdict"] == recorded[-2]
        again = client.post("/api/redo", json={"annotator": "ann"}).json()
        assert again["changed"]["verdict"] == recorded[-1]
        assert served.end(signal.SIGINT) == 0  # Ctrl-C is how one ends it
    words = "\n".join(served.said)
    assert "1 of 4 questions are answered" in words
    assert f"raypipe refine --run {run}" in words
    assert "refused" not in words
    files = [name for name in run.step("labels").names() if not name.startswith(".")]
    assert len(files) == 1  # put together; what starts with a dot was being written at the kill
    assert "4 questions · 1 answered" in (run.step("sheets") / "index.html").read_text()


def test_answers_land_in_a_bucket(make_world, two_clusters, s3: Store) -> None:
    local = sheeted(make_world({"cat": two_clusters()}).run())
    run = Run.at(s3.uri(s3.upload(Path(str(local)))))
    with serving(run) as served, served.client() as client:
        assert "raypipe-api" in client.get("/cat.html").text
        assert client.post("/api/answer", json=said(run, "cat", 1, "object")).json()["saved"]
        assert labels.verdicts(run) == {("cat", 1): "object"}
        assert client.post("/api/undo", json={"annotator": "ann"}).json()["changed"]
        assert client.post("/api/answer", json=said(run, "cat", 2, "unsure")).json()["saved"]
        assert served.end(signal.SIGTERM) == 0
    assert labels.verdicts(run) == {("cat", 2): "unsure"}
    assert "2 questions · 1 answered" in (run.step("sheets") / "index.html").read_text()


def test_a_port_that_is_taken(cli: RunCli, served: Served, place: Run, tmp_path: Path) -> None:
    words = ("annotate", "--run", place, "--no-open", "--port", served.port)
    result = cli(*words, cwd=tmp_path)
    assert result.returncode == UsageError.exit_code
    assert f"error: port {served.port} of 127.0.0.1 is taken" in result.stderr
    assert "--port 0" in result.stderr
    result = cli(*words[:-1], 0, "--host", "192.0.2.1", cwd=tmp_path)
    assert result.returncode == UsageError.exit_code
    assert "cannot listen on port 0 of 192.0.2.1" in result.stderr
    assert result.stdout == ""


def test_a_run_that_is_not_clustered(cli: RunCli, tmp_path: Path) -> None:
    result = cli("annotate", "--run", tmp_path / "new", "--no-open", cwd=tmp_path)
    assert result.returncode == 4
    assert "raypipe cluster --run" in result.stderr
