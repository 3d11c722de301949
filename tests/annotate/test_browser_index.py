"""The index of many classes, and what every page owes to small screens and screen readers."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from raypipe.annotate.asking import Asking
from raypipe.annotate.facts import ClassFacts, ClusterFacts
from raypipe.annotate.labels import ClassStatus
from raypipe.annotate.pages import index_page
from tests.annotate.browsing import NARROW, WIDE, draw, press, serious, show, tab
from tests.annotate.conftest import World, two_clusters

pytestmark = pytest.mark.browser

CLASSES, CLUSTERS = 1000, 4
PAINTED = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
OUTSIDE = """() => [...document.querySelectorAll("button, input, select, a, .tiles li")]
  .filter((element) => element.checkVisibility() && !element.closest(".top > .tools"))
  .filter((element) => element.getBoundingClientRect().right > innerWidth)
  .map((element) => element.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of 1,000 classes with 4 clusters each, the first hundred answered."""
    classes = []
    for place in range(CLASSES):
        clusters = tuple(
            ClusterFacts(number, 100, 0.25, 50, 0.5, f"{place:04d}{number:012x}")
            for number in range(1, CLUSTERS + 1)
        )
        facts = ClassFacts(f"n{place:08d}", f"thing {place}", 1300, clusters, ())
        left = () if place < 100 else tuple(range(1, CLUSTERS + 1))
        classes.append((facts, ClassStatus(facts.name, 4, 4, 4 - len(left), 0, 0, 0, 0, left)))
    gains = {
        (facts.name, cluster.number): 1 / (1 + (place * 7) % CLASSES) / cluster.number
        for place, (facts, _) in enumerate(classes)
        for cluster in facts.clusters
    }
    file = tmp_path_factory.mktemp("index") / "index.html"
    file.write_text(index_page(classes, (), Asking("run", gains)))
    return file


def test_a_thousand_classes_are_found_sorted_and_counted(chromium, thousand) -> None:
    with tab(chromium) as page:
        show(page, thousand)
        paint = page.evaluate(PAINTED)
        size = thousand.stat().st_size
        print(f"first paint of 1,000 classes: {paint:.0f} ms; index: {size} bytes")  # noqa: T201
        shown = page.locator("#classes li:visible")
        titles = page.locator("#classes li:visible b")
        expect(page.locator("#progress")).to_contain_text("400 of 4,000 answered")
        gains = [1 / (1 + (place * 7) % CLASSES) for place in range(CLASSES)]
        share = int(100 * sum(gains[:100]) / sum(gains))
        expect(page.locator("#progress")).to_contain_text(f", {share} % of the expected gain")
        # Every seventh class is worth most: 143 × 7 = 1001, so class 143 comes second.
        assert titles.nth(0).text_content() == "thing 0"
        assert titles.nth(1).text_content() == "thing 143"
        # The best class is answered: start with the next.
        assert page.locator("#start").get_attribute("href") == "n00000143.html"
        page.locator("#search").fill("THING 77")  # both words, wherever they stand
        expect(page.locator("#shown")).to_have_text("19 shown")
        expect(shown).to_have_count(19)
        page.locator("#search").fill("n00000777")
        expect(titles).to_have_text(["thing 777"])
        page.locator("#search").fill("")
        page.locator("#unanswered").check()
        expect(page.locator("#shown")).to_have_text("900 shown")
        page.locator("#sort").select_option("name")
        assert titles.nth(0).text_content() == "thing 100"
        page.locator("#unanswered").uncheck()
        page.locator("#sort").select_option("progress")
        assert titles.nth(0).text_content() == "thing 143"
        last = titles.nth(CLASSES - 1).text_content() or ""
        assert int(last.removeprefix("thing ")) < 100  # what is done comes last


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sheets of two classes in two groups."""
    groups = {(name, number): number for name in ("cat", "dog") for number in (1, 2)}
    regions = dict.fromkeys(("cat", "dog"), two_clusters())
    return draw(World(tmp_path_factory.mktemp("groups"), regions, groups=groups).run())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1280", "390"])
def test_pages_are_accessible_and_as_wide_as_the_screen(chromium, folder, size, scheme) -> None:
    with tab(chromium, size, color_scheme=scheme) as page:
        for name in ("%2A.html", "cat.html", "index.html"):
            show(page, folder / name)
            if name == "%2A.html":
                press(page, "d")  # an answered cluster, and one that waits
            assert serious(page) == [], name
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], name
            assert page.evaluate(OUTSIDE) == [], name
        press(page, "?")
        expect(page.locator("#keys")).to_be_visible()
        assert serious(page) == [], "help"
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
