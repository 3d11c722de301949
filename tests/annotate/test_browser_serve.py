"""The served pages in a real browser: answers go to the log at once, each person's own."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from raypipe.annotate import labels
from raypipe.storage.run import Run
from tests.annotate.browsing import arrived, focused, press, ready, tab, verdict
from tests.annotate.conftest import World, two_clusters
from tests.annotate.serving import Served, said, serving, sheeted

pytestmark = pytest.mark.browser

ALL = {("cat", 1): "object", ("cat", 2): "distractor", ("dog", 1): "unsure", ("dog", 2): "object"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Run:
    regions = {name: two_clusters() for name in ("cat", "dog")}
    return sheeted(World(tmp_path_factory.mktemp("served"), regions).run())


@pytest.fixture(scope="module")
def served(place: Run) -> Iterator[Served]:
    """One server for all; each test is of other people."""
    with serving(place) as served:
        yield served


def enter(page: Page, served: Served, name: str) -> None:
    """Open the printed link, say who one is, and go to the first question."""
    page.goto(served.url)
    page.locator("#who-name").fill(name)
    page.keyboard.press("Enter")
    ready(page)
    press(page, "s")
    arrived(page, "cat")


def own(run: Run, name: str) -> dict[tuple[str, int], str]:
    rows = labels.answers(run).to_pylist()
    return {(r["class"], r["cluster"]): r["verdict"] for r in rows if r["annotator"] == name}


def test_classes_are_answered_by_keys_and_one_goes_on_after_a_reload(
    served: Served, place: Run, chromium: Browser
) -> None:
    with tab(chromium) as page:
        enter(page, served, "Ada")
        assert "token" not in page.url
        press(page, "o")
        expect(page.locator("#progress")).to_contain_text("1 of 4 answered")
        assert own(place, "Ada") == {("cat", 1): "object"}
        page.reload()
        ready(page)
        expect(verdict(page, 1)).to_have_text("Object")
        assert focused(page) == "cluster-2"
        press(page, "d")
        arrived(page, "dog")  # by itself
        press(page, "u o")
        arrived(page, "Contact sheets")
        expect(page.locator("#finished")).to_be_visible()
        assert own(place, "Ada") == ALL
        page.goto(f"{served.base}/dog.html")
        ready(page)
        press(page, "z")
        expect(verdict(page, 2)).to_have_text("not answered")
        press(page, "z")
        expect(verdict(page, 1)).to_have_text("not answered")
        press(page, "z")  # back to the page before
        arrived(page, "cat")
        expect(verdict(page, 2)).to_have_text("not answered")
        press(page, "y")
        expect(verdict(page, 2)).to_have_text("Distractor")
    assert own(place, "Ada") == {("cat", 1): "object", ("cat", 2): "distractor"}
    seconds = [row["seconds"] for row in labels.history(place) if row["verdict"] != "withdrawn"]
    assert all(0 <= value < 20 for value in seconds)


def test_two_people_at_once_are_blind_to_each_other(
    served: Served, place: Run, chromium: Browser
) -> None:
    with tab(chromium) as eve, tab(chromium) as bob:
        enter(eve, served, "Eve")
        press(eve, "o")
        enter(bob, served, "Bob")
        expect(verdict(bob, 1)).to_have_text("not answered")
        press(bob, "d")
        press(eve, "d")
        arrived(eve, "dog")
        press(bob, "o")
        press(eve, "u o")
        arrived(bob, "dog")
        press(bob, "z")  # takes back his own last answer, not hers
        arrived(bob, "cat")
        expect(verdict(bob, 2)).to_have_text("not answered")
        press(bob, "y")
        expect(verdict(bob, 2)).to_have_text("Object")
        arrived(eve, "Contact sheets")
        expect(eve.locator("#progress")).to_contain_text("4 of 4 answered")
    assert own(place, "Eve") == ALL
    assert own(place, "Bob") == {("cat", 1): "distractor", ("cat", 2): "object"}


@pytest.mark.faults
def test_a_server_that_is_killed_and_started_again_loses_nothing(
    run: Run, chromium: Browser
) -> None:
    sheeted(run)
    context = chromium.new_context()
    context.set_default_timeout(20_000)
    page = context.new_page()
    with serving(run) as served:
        enter(page, served, "Ada")
        press(page, "o")
        expect(page.locator("#progress")).to_contain_text("1 of 4 answered")
        served.process.kill()
        served.process.wait()
        press(page, "d")  # nobody takes it
        expect(page.locator("#notice-text")).to_contain_text("1 answer is not saved yet")
    assert own(run, "Ada") == {("cat", 1): "object"}
    with serving(run, served.port) as again:
        expect(page.locator("#notice-text")).to_contain_text("open the link", timeout=20_000)
        context.new_page().goto(again.url)
        arrived(page, "dog")  # it goes on by itself once all is saved
        assert own(run, "Ada") == {("cat", 1): "object", ("cat", 2): "distractor"}
        press(page, "z")
        arrived(page, "cat")
        press(page, "z")
        expect(verdict(page, 1)).to_have_text("not answered")
        assert own(run, "Ada") == {}
    context.close()


@contextmanager
def another_site(link: str) -> Iterator[str]:
    """Serve a page with a link from `localhost`, which is another site than 127.0.0.1."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f'<link rel="icon" href="data:,"><a href="{link}">go</a>'.encode())

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://localhost:{server.server_port}/"
    server.shutdown()
    server.server_close()


WRITE = """async ([url, body, mode, kind]) => fetch(url, {
    method: "POST", credentials: "include", body, mode, headers: { "content-type": kind },
  })
    .then(() => "answered", () => "failed")"""


@pytest.mark.faults
def test_links_of_other_sites_enter_and_their_pages_do_not_write(
    served: Served, place: Run, chromium: Browser
) -> None:
    context = chromium.new_context()
    with another_site(served.url) as site:
        page = context.new_page()
        page.goto(site)
        page.locator("a").click()
        page.locator("#who-name").fill("Zoe")  # the index asks who one is
        wanted = [f"{served.base}/api/answer", json.dumps(said(place, "cat", 1, "object", "Mal"))]
        other = context.new_page()
        # The second is of the same site, only the port is another: it is sent with the cookie.
        for address in (site, site.replace("localhost", "127.0.0.1")):
            other.goto(address)
            assert other.evaluate(WRITE, [*wanted, "cors", "application/json"]) == "failed"
            assert other.evaluate(WRITE, [*wanted, "no-cors", "text/plain"]) == "failed"
    context.close()
    assert own(place, "Mal") == {}
    # Without a preflight a request arrives, with the cookie where the site is the same.
    posts = [line for line in served.said if " POST " in line]
    assert "no or wrong token" in posts[0]
    assert "another origin" in posts[-1]
