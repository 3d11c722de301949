"""The report and the comparison in a real browser: nothing overlaps or overflows, all can read."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.evaluate.compare import render
from raypipe.evaluate.pictures import Case, Panel
from raypipe.evaluate.report import render_html
from tests.annotate.browsing import NARROW, WIDE, tab, violations
from tests.evaluate.reports import report

pytestmark = pytest.mark.browser

OVERFLOW = "() => document.documentElement.scrollWidth - innerWidth"
OVERLAPS = """() => [...document.querySelectorAll(".plot")].flatMap((plot) => {
  const labels = [...plot.querySelectorAll(".tick, figcaption > span, .axis")];
  const boxes = labels.map((label) => [label.textContent, label.getBoundingClientRect()]);
  return boxes.flatMap(([name, a], index) => boxes.slice(index + 1)
    .filter(([, b]) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
    .map(([other]) => `${name} | ${other}`));
})"""
CUT = """() => [...document.querySelectorAll(".plot")].flatMap((plot) => {
  const frame = plot.getBoundingClientRect();
  return [...plot.querySelectorAll(".tick, .axis, .mark")]
    .map((item) => item.getBoundingClientRect())
    .filter((box) => box.left < frame.left || box.right > frame.right || box.bottom > frame.bottom);
}).length"""
SCROLLED = """() => [...document.querySelectorAll(".scroll")]
  .filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.ariaLabel)"""
SIDE = {"run": "runs/a", "rule": "classify", "fingerprint": "0123", "questions": 3,
        "seconds": 9.0, "only": 1}  # fmt: skip
MEASURED = {"a": 0.5, "b": 0.75, "difference": 0.25, "interval": (0.1, 0.4), "p": 0.01}
COMPARISON = {
    "set": "val", "pairs": 8, "images": 4, "classes": 2, "a": SIDE, "b": SIDE,
    "metrics": {"corloc": MEASURED},
    "per_class": {"dog": {"title": "dog", "images": 4, "corloc": MEASURED}},
    "settings": [{"name": "refine.gamma", "a": "0.6", "b": "0.7"}],
}  # fmt: skip
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGA"
    "WjR9awAAAABJRU5ErkJggg=="
)


def written(folder: Path, classes: int) -> Path:
    panel = Panel(PIXEL, [(1.0, 2.0, 30.0, 20.0)], 0.25, 0.5)
    case = Case("an image", "boat", 40, 30, [(0.0, 0.0, 9.0, 9.0)], panel, panel, -0.5)
    file = folder / f"report{classes}.html"
    file.write_text(render_html(report(classes), worst=[case], best=[case, case]))
    return file


@pytest.fixture(params=[1, 5, 1000])
def page_file(request, tmp_path) -> Path:
    return written(tmp_path, request.param)


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1280", "390"])
def test_nothing_overflows_and_no_labels_overlap(chromium, page_file, size):
    with tab(chromium, size) as page:
        page.goto(page_file.as_uri())
        assert page.locator(".plot").count() == 2
        assert page.evaluate(OVERFLOW) <= 0
        assert page.evaluate(OVERLAPS) == []
        assert page.evaluate(CUT) == 0
        if size == WIDE:  # every table is read without scrolling
            assert page.evaluate(SCROLLED) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_core_finds_nothing(chromium, tmp_path, scheme):
    # 42 classes have the layout of 1,000, for which axe-core takes 25 s.
    comparison = tmp_path / "compare.html"
    comparison.write_text(render(COMPARISON))
    with tab(chromium, color_scheme=scheme) as page:
        for file in (written(tmp_path, 42), comparison):
            page.goto(file.as_uri())
            assert violations(page) == []


def test_paper_shows_everything_and_scrolls_nothing(chromium, page_file):
    with tab(chromium, {"width": 720, "height": 1000}) as page:  # A4 between its margins
        page.goto(page_file.as_uri())
        page.emulate_media(media="print")
        assert page.evaluate(OVERFLOW) <= 0
        assert page.evaluate(OVERLAPS) == []
