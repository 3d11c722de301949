"""Drawn sheets of a run, and a tab of a browser that looks at them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, ViewportSize

from raypipe.annotate import flow
from raypipe.annotate.asking import Asking
from raypipe.annotate.facts import facts
from raypipe.annotate.frames import Frames
from raypipe.config import SheetsConfig
from raypipe.storage.run import Run

WIDE = ViewportSize(width=1280, height=800)
NARROW = ViewportSize(width=390, height=844)


def draw(run: Run, tiles: int = 3) -> Path:
    """Draw the sheets of a run in this process; return their folder."""
    config, frames, asking = SheetsConfig(tiles=tiles, tile=64), Frames.of(run), Asking.of(run)
    for item in facts(run):
        flow.draw_class(item, run, config, frames, asking)
    flow.write_index(run)
    return Path(str(run.step(flow.STEP)))


@contextmanager
def tab(browser: Browser, size: ViewportSize = WIDE, **options: Any) -> Iterator[Page]:
    """Open a tab of its own context; no page may fail in it or open a dialog."""
    context = browser.new_context(viewport=size, **options)
    context.set_default_timeout(10_000)
    troubles: list[str] = []
    context.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
    context.on("weberror", lambda error: troubles.append(str(error.error)))
    context.on("console", lambda message: message.type == "error" and troubles.append(message.text))
    yield context.new_page()
    context.close()
    assert troubles == []


def show(page: Page, file: Path) -> None:
    page.goto(file.as_uri())
    ready(page)


def ready(page: Page) -> None:
    page.locator("html[data-ready]").wait_for(state="attached")


def arrived(page: Page, name: str) -> None:
    """Wait until the page of a class is there."""
    page.locator(f"html[data-ready] h1:text-is('{name}')").wait_for()


def press(page: Page, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def focused(page: Page) -> str:
    return page.locator(".cluster[aria-current]").get_attribute("id") or ""


def verdict(page: Page, number: int) -> Locator:
    return page.locator(f"#cluster-{number} .verdict")


def downloaded(page: Page) -> str:
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename == "answers.csv"
    return Path(download.value.path()).read_text()


def violations(page: Page) -> list[tuple[str, str]]:
    """Return what axe-core finds on a page: the impact, and the rule with the element."""
    return [
        (item["impact"], f"{item['id']}: {node['html'][:200]}")
        for item in Axe().run(page).response["violations"]
        for node in item["nodes"]
    ]


def serious(page: Page) -> list[str]:
    """Return what axe-core finds on a page, serious or worse."""
    return [text for impact, text in violations(page) if impact in {"serious", "critical"}]
