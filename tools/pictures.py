"""Take the pictures of a sheet and of a page for the documentation, of drawn scenes alone.

python tools/pictures.py [RUN]    write docs/images/sheet.png and docs/images/page.png

RUN is a run of the demonstration, `runs/demo` by default; it is made where it is missing. Needs a
Chromium, as the tests of the pages do.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from raypipe.demo import demonstrate

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"
CLASS = "train"
COLOURS = 256  # drawn noise fills a PNG; with so few colours it stays below 300 KB
WIDTH = 1000  # pixels; the pages of the documentation are narrower


def main(run: str) -> None:
    """Write both pictures."""
    demonstrate(run)
    sheets = Path(run).resolve() / "sheets"
    small(Image.open(sheets / f"{CLASS}.png")).save(FOLDER / "sheet.png", optimize=True)
    shot = Image.open(io.BytesIO(screenshot(sheets / f"{CLASS}.html")))
    small(shot).save(FOLDER / "page.png", optimize=True)
    for name in ("sheet.png", "page.png"):
        print(f"{FOLDER / name}: {(FOLDER / name).stat().st_size // 1024} KB")


def screenshot(page: Path) -> bytes:
    """Return a picture of a page whose first cluster is answered."""
    found = os.environ.get("RAYPIPE_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        tab.goto(page.as_uri())
        tab.locator("html[data-ready]").wait_for(state="attached")
        tab.wait_for_timeout(1900)  # a person's time: it is shown
        tab.keyboard.press("d")
        content = tab.screenshot()
        browser.close()
    return content


def small(picture: Image.Image) -> Image.Image:
    """Return a picture as wide as the documentation shows it, in few colours."""
    size = (WIDTH, round(picture.height * WIDTH / picture.width))
    scaled = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    return scaled.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/demo")
