"""The static pages in a real browser: answered by keys, kept, taken back, brought into the run."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from raypipe import cells as protecting
from raypipe.annotate import csvfile, labels
from raypipe.annotate.asking import page_file
from tests.annotate.browsing import (
    arrived,
    downloaded,
    draw,
    focused,
    press,
    ready,
    show,
    tab,
    verdict,
)
from tests.annotate.conftest import World, two_clusters

pytestmark = pytest.mark.browser

KEY_TO_NEXT = """async () => {
  const start = performance.now();
  document.dispatchEvent(new KeyboardEvent("keydown", { key: "o" }));
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - start;
}"""
NO_STORAGE = """Object.defineProperty(window, "localStorage", {
  get() { throw new DOMException("denied", "SecurityError"); },
})"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Sheets of cats and dogs; what a tab answers on them stays in the tab."""
    regions = two_clusters()
    return draw(World(tmp_path_factory.mktemp("pages"), {"cat": regions, "dog": regions}).run())


@pytest.fixture
def page(chromium):
    with tab(chromium) as page:
        yield page


def test_all_classes_are_answered_by_keys_alone(folder, page) -> None:
    show(page, folder / "index.html")
    press(page, "s")
    arrived(page, "cat")
    assert focused(page) == "cluster-1"
    press(page, "o")
    assert focused(page) == "cluster-2"
    press(page, "d")
    arrived(page, "dog")  # by itself
    press(page, "ArrowRight u o")
    arrived(page, "Contact sheets")
    expect(page.locator("#progress")).to_contain_text("4 of 4 answered")
    expect(page.locator("#finished")).to_be_visible()
    lines = downloaded(page).splitlines()
    rows = [[cell.strip('"') for cell in line.split(",")] for line in lines]
    assert rows[0] == list(csvfile.COLUMNS)
    assert [row[:3] for row in rows[1:]] == [
        ["cat", "1", "object"], ["cat", "2", "distractor"],
        ["dog", "2", "unsure"], ["dog", "1", "object"],
    ]  # fmt: skip
    assert all(0 <= float(row[4]) < 10 for row in rows[1:])


def test_undo_and_redo_on_this_page_and_the_one_before(folder, page) -> None:
    show(page, folder / "cat.html")
    press(page, "o z")
    assert focused(page) == "cluster-1"
    expect(verdict(page, 1)).to_have_text("not answered")
    press(page, "Shift+Z")
    expect(verdict(page, 1)).to_have_text("Object")
    press(page, "ArrowRight d")
    arrived(page, "dog")
    press(page, "z")
    arrived(page, "cat")
    assert focused(page) == "cluster-2"
    expect(verdict(page, 2)).to_have_text("not answered")
    press(page, "y")
    expect(verdict(page, 2)).to_have_text("Distractor")
    press(page, "z z z z")  # more than there is
    expect(page.locator("#undo")).to_be_disabled()


def test_an_undo_calls_off_the_next_page_and_a_slip_can_be_mended(folder, page) -> None:
    show(page, folder / "cat.html")
    page.clock.install()
    press(page, "o o z")
    page.clock.run_for(5000)
    expect(verdict(page, 2)).to_have_text("not answered")
    press(page, "o d")  # the second key mends the first: focus stays on the last cluster
    expect(verdict(page, 2)).to_have_text("Distractor")
    expect(page.locator("#next")).to_have_class("ready leaving")


def test_a_reload_resumes_with_answers_and_history(folder, page) -> None:
    show(page, folder / "cat.html")
    press(page, "u")
    page.reload()
    ready(page)
    expect(verdict(page, 1)).to_have_text("Unsure")
    assert focused(page) == "cluster-2"
    expect(page.locator("#progress")).to_contain_text("1 of 4 answered here")
    press(page, "z")
    expect(verdict(page, 1)).to_have_text("not answered")
    page.reload()
    ready(page)
    press(page, "Z")
    expect(verdict(page, 1)).to_have_text("Unsure")


def test_pages_that_are_done_are_passed_over(make_world, page) -> None:
    folder = draw(make_world({name: two_clusters() for name in ("ant", "bee", "cat")}).run())
    for name in ("bee", "ant"):
        show(page, folder / f"{name}.html")
        press(page, "o o")
        page.wait_for_url("**/cat.html")


def test_the_csv_is_taken_by_the_run_whatever_the_classes_are_called(make_world, page) -> None:
    names = ('=cat, "the"\nbig', "12e45")
    run = make_world({name: two_clusters() for name in names}).run()
    folder = draw(run)
    show(page, folder / page_file(names[0]))
    press(page, "o")
    some = labels.ingest(
        run, downloaded(page).encode(), source="some.csv", answered_only=True, dry_run=True
    )
    assert (some.answers, some.object) == (1, 1), "what was not answered stays open"
    press(page, "d")
    show(page, folder / page_file(names[1]))
    press(page, "o d")
    page.locator("#annotator").fill("ada")
    page.keyboard.press("Tab")
    found = labels.ingest(run, downloaded(page).encode(), source="answers.csv")
    assert (found.object, found.distractor) == (2, 2)
    assert labels.verdicts(run) == {
        (name, number): said
        for name in names
        for number, said in ((1, "object"), (2, "distractor"))
    }
    assert set(labels.answers(run)["annotator"].to_pylist()) == {"ada"}


def test_cells_are_protected_as_in_the_template(folder, page) -> None:
    show(page, folder / "cat.html")
    cells = [
        *(
            "cat",
            "=1",
            "+a",
            "-",
            "@x",
            "\tx",
            "'x",
            "",
            "12",
            "1e5",
            "1.",
            ".5",
            "1_0",
            "_1",
            "1__0",
        ),
        *("0x10", "nan", "-inf", "Infinity", "12e45678", "12e456z", " 7 ", "1 2", "e5", "."),
    ]
    shown = page.evaluate("(cells) => cells.map((text) => guarded(text))", cells)
    assert [text[1:-1] for text in shown] == [protecting.protected(cell) for cell in cells]


def test_pauses_are_no_seconds_of_an_answer(folder, page) -> None:
    page.clock.install()
    page.goto((folder / "cat.html").as_uri())
    page.clock.run_for(100)
    page.clock.fast_forward(90_000)
    press(page, "o")
    page.clock.fast_forward(121_000)
    press(page, "o")
    first, second = page.evaluate("[...store.answers.values()].map((entry) => entry.seconds)")
    assert 90 <= first < 91
    assert second is None


def test_names_are_text(make_world, page) -> None:
    evil, image = "<script>alert(1)</script>", "<img src=x onerror=alert(2)>"
    rows = [(1, image, 1, 0, 1.0), (1, "b", 1, 0, 0.9)]
    world = make_world({evil: rows, "*<b>": rows}, groups={(evil, 1): 1, ("*<b>", 1): 1})
    folder = draw(world.run())
    for name in (evil, "*"):
        show(page, folder / page_file(name))
        assert page.locator(".tiles title").first.text_content() == image
        assert page.locator("h1").text_content() == ("All classes" if name == "*" else evil)
        press(page, "o")
    assert page.locator(".tiles b").all_text_contents() == ["*<b>", evil]
    show(page, folder / "index.html")
    assert evil in page.locator(".text b").all_text_contents()
    page.locator("#search").fill("<script>")
    expect(page.locator("#classes li:visible")).to_have_count(1)


def test_without_storage_answers_are_in_memory_and_the_page_says_so(folder, page) -> None:
    page.add_init_script(NO_STORAGE)
    show(page, folder / "cat.html")
    expect(page.locator("#notice")).to_contain_text("keeps no data")
    press(page, "o d")
    page.wait_for_timeout(1200)  # longer than the pause before the next page
    arrived(page, "cat")
    assert len(downloaded(page).splitlines()) == 3


def test_the_overlay_dims_outlines_or_shows_the_plain_crop(folder, page) -> None:
    show(page, folder / "cat.html")
    tile = page.locator("#cluster-1 .tiles svg").first
    found = {}
    for mode in ("lit", "outline", "plain"):
        expect(page.locator("#overlay")).to_contain_text(mode)
        picture = np.asarray(Image.open(io.BytesIO(tile.screenshot())).convert("RGB"), float)
        middle = picture[picture.shape[0] // 2]
        yellow = (picture @ [1, 1, -2] > 150).sum()
        found[mode] = (middle[int(0.9 * len(middle))].mean(), yellow)
        press(page, "m")
    expect(page.locator("#overlay")).to_contain_text("lit")
    assert found["lit"][0] < 0.7 * found["plain"][0]
    assert found["outline"][0] == found["plain"][0]
    assert found["plain"][1] == 0 < min(found["lit"][1], found["outline"][1])


def test_a_group_is_answered_once_and_overridden_for_a_class(shared, page) -> None:
    run = shared.run()
    folder = draw(run)
    show(page, folder / "%2A.html")
    press(page, "d o")
    page.wait_for_url("**/index.html")
    ready(page)
    expect(page.locator("#finished")).to_be_visible()
    expect(page.locator(".state.done")).to_have_count(4)
    page.get_by_role("link", name="cat").click()
    arrived(page, "cat")
    expect(verdict(page, 1)).to_have_text("Distractor")
    expect(page.locator("#cluster-1 .own")).to_be_hidden()
    press(page, "u")
    expect(verdict(page, 1)).to_have_text("Unsure")
    expect(page.locator("#cluster-1 .through b")).to_have_text("Distractor")
    expect(page.locator("#cluster-1 .own")).to_be_visible()
    labels.ingest(run, downloaded(page).encode(), source="answers.csv")
    found = labels.verdicts(run)
    assert (found["cat", 1], found["dog", 1], found["cat", 2]) == ("unsure", "distractor", "object")
    press(page, "z")
    expect(verdict(page, 1)).to_have_text("Distractor")
    page.locator("#cluster-1 .through a").click()
    arrived(page, "All classes")
    assert focused(page) == "cluster-1"
    page.locator("#cluster-1 .members summary").click()
    page.get_by_role("link", name="dog 1").click()
    arrived(page, "dog")


def test_keys_are_left_alone_where_a_person_types(folder, page) -> None:
    show(page, folder / "cat.html")
    page.locator("#annotator").press_sequentially("doz")
    page.keyboard.press("Tab")
    expect(verdict(page, 1)).to_have_text("not answered")
    press(page, "? o Escape")
    expect(verdict(page, 1)).to_have_text("not answered")
    press(page, "Control+o")
    expect(verdict(page, 1)).to_have_text("not answered")
    assert json.loads(page.evaluate("localStorage.getItem('raypipe:name')")) == "doz"


def test_time_from_a_key_to_the_next_question(make_world, page) -> None:
    folder = draw(make_world({"cat": two_clusters(12)}).run(), tiles=12)
    show(page, folder / "cat.html")
    milliseconds = page.evaluate(KEY_TO_NEXT)
    size = (folder / "cat.html").stat().st_size
    print(f"key to next question: {milliseconds:.0f} ms; page: {size} bytes")  # noqa: T201
    assert focused(page) == "cluster-2"
