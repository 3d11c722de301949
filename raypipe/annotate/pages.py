"""The sheets as web pages: one file a class with its images inside, and an index of all classes."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Collection, Sequence
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from raypipe.annotate.asking import Asking, page_file
from raypipe.annotate.facts import ClassFacts
from raypipe.annotate.gain import enough
from raypipe.annotate.labels import ClassStatus
from raypipe.annotate.sheets import percent, question
from raypipe.annotate.spectrum import spectrum
from raypipe.annotate.tiles import CORNER, DIM, GREY, OUTLINE, Marks, Tile
from raypipe.storage.run import slug
from raypipe.tables import SHARED

_PLOT = (340, 180)
_ENOUGH = 0.95  # of the expected gain: how many answers reach it is told
_QUALITY = 66  # of 160 pixels that are shown a little larger
_SCRIPTS = ("keep.js", "local.js", "served.js", "common.js")
_LOOK = {"dim": DIM, "grey": GREY, "outline": OUTLINE}


def class_page(
    facts: ClassFacts, tiles: Sequence[Sequence[Tile]], side: int, asking: Asking
) -> str:
    """Return the page of one class; it needs no other file and no network.

    Args:
        facts: The class and its clusters.
        tiles: The tiles of each cluster, in the clusters' order.
        side: Width and height of a tile, pixels.
        asking: What the run asks, and in which order.
    """
    corner = round(CORNER * side, 1)
    shown = [
        [(webp_uri(tile.plain), outline_path(tile.marks, corner), tile) for tile in own]
        for own in tiles
    ]
    plot = None
    if facts.eigenvalues:
        plot = _png_uri(spectrum(facts.eigenvalues, len(facts.clusters), _PLOT))
    values = {
        "facts": facts,
        "clusters": list(zip(facts.clusters, shown, strict=True)),
        "plot": plot,
        "question": question(facts),
        "plot_size": _PLOT,
        "side": side,
        "corner": corner,
        "shared": SHARED,
    }
    return _render("class", asking.page_data(facts), values)


def index_page(
    classes: Sequence[tuple[ClassFacts, ClassStatus]], thumbs: Collection[str], asking: Asking
) -> str:
    """Return the index of all classes; it links their pages and thumbnails by relative names.

    Args:
        classes: What is known of each class, and how far it is answered.
        thumbs: Classes that have a thumbnail.
        asking: What the run asks, and in which order.
    """
    ranked = asking.ranked(classes)
    shown = [(facts, status, _state(status), facts.name in thumbs) for facts, status in ranked]
    values = {
        "classes": shown,
        "named": sum(not facts.shared for facts, _ in classes),
        "questions": sum(status.questions for _, status in classes),
        "answered": sum(status.answered for _, status in classes),
        "enough": enough(asking.gains, _ENOUGH),
        "enough_share": percent(_ENOUGH),
        "start": next((facts.name for facts, status in ranked if status.missing), None),
    }
    return _render("index", asking.index_data(ranked), values)


def outline_path(marks: Marks, corner: float) -> str:
    """Return the marks as an SVG path, to be drawn with a round stroke of twice the corner.

    Args:
        marks: Where a tile is lit.
        corner: Radius of the corners, pixels of the tile.
    """
    parts = []
    for x0, y0, x1, y1 in marks:
        across, down = max(0, x1 - x0 - 2 * corner), max(0, y1 - y0 - 2 * corner)
        parts.append(f"M{x0 + corner:g} {y0 + corner:g}h{across:g}v{down:g}h{-across:g}z")
    return "".join(parts)


def webp_bytes(image: Image.Image) -> bytes:
    """Return an image as WebP."""
    content = io.BytesIO()
    image.save(content, "WEBP", quality=_QUALITY, method=6)
    return content.getvalue()


def webp_uri(image: Image.Image) -> str:
    """Return an image as a WebP data URI."""
    return "data:image/webp;base64," + base64.b64encode(webp_bytes(image)).decode()


def png_bytes(image: Image.Image) -> bytes:
    """Return an image as PNG."""
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def _png_uri(image: Image.Image) -> str:
    return "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode()


def _state(status: ClassStatus) -> str:
    if not status.settled:
        return "open"
    return "part" if status.settled < status.clusters else "done"


def _link(name: str) -> str:
    """Return the relative URL of a class's page."""
    return quote(page_file(name))


def _thumb(name: str) -> str:
    """Return the relative URL of a class's thumbnail."""
    return quote(f"{slug(name)}.webp")


def _render(kind: str, data: dict[str, Any], values: dict[str, Any]) -> str:
    script = _script(kind)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Names may hold anything: no `<` leaves the block, and no script but this one runs.
    block = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        _templates()
        .get_template(f"{kind}.html.j2")
        .render(
            values
            | {
                "data": Markup(block),  # noqa: S704 -- no `<` is left in it
                "script": Markup(script),  # noqa: S704 -- our own file
                "digest": digest,
                "look": _LOOK,
            }
        )
    )


@cache
def _script(kind: str) -> str:
    """Return the script of a kind of page, its files one after the other."""
    folder = files("raypipe.annotate") / "templates"
    names = (*_SCRIPTS, f"{kind}.js")
    return "\n" + "\n".join((folder / name).read_text(encoding="utf-8") for name in names)


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("raypipe.annotate"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "page": _link, "thumb": _thumb}
    return environment
