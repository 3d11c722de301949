"""The sheets as web pages: one file a class with its images inside, and an index of all classes."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Sequence
from functools import cache
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from raypipe.annotate.facts import ClassFacts
from raypipe.annotate.labels import ClassStatus
from raypipe.annotate.sheets import QUESTION, SHARED_QUESTION, percent, question
from raypipe.annotate.spectrum import spectrum
from raypipe.annotate.tiles import Tile
from raypipe.storage.run import slug
from raypipe.tables import SHARED

_PLOT = (340, 180)
_QUALITY = 82


def class_page(facts: ClassFacts, tiles: Sequence[Sequence[Tile]], side: int) -> str:
    """Return the page of one class; it needs no other file and no network.

    Args:
        facts: The class and its clusters.
        tiles: The tiles of each cluster, in the clusters' order.
        side: Width and height of a tile, pixels.
    """
    shown = [[(webp_uri(tile.image), tile) for tile in own] for own in tiles]
    plot = None
    if facts.eigenvalues:
        plot = _png_uri(spectrum(facts.eigenvalues, len(facts.clusters), _PLOT))
    return (
        _templates()
        .get_template("class.html.j2")
        .render(
            facts=facts,
            clusters=list(zip(facts.clusters, shown, strict=True)),
            plot=plot,
            plot_size=_PLOT,
            side=side,
            question=question(facts),
            shared=SHARED,
        )
    )


def index_page(classes: Sequence[tuple[ClassFacts, ClassStatus]], thumbs: Collection[str]) -> str:
    """Return the index of all classes; it links their pages and thumbnails by relative names.

    Args:
        classes: What is known of each class, and how far it is answered.
        thumbs: Classes that have a thumbnail.
    """
    return (
        _templates()
        .get_template("index.html.j2")
        .render(
            classes=[
                (facts, status, quote(slug(facts.name)), _state(status), facts.name in thumbs)
                for facts, status in classes
            ],
            named=sum(not facts.shared for facts, _ in classes),
            questions=sum(status.questions for _, status in classes),
            answered=sum(status.answered for _, status in classes),
            question=SHARED_QUESTION if any(facts.shared for facts, _ in classes) else QUESTION,
        )
    )


def webp_bytes(image: Image.Image) -> bytes:
    """Return an image as WebP."""
    content = io.BytesIO()
    image.save(content, "WEBP", quality=_QUALITY, method=4)
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
    return f"{quote(slug(name))}.html"


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("raypipe.annotate"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "page": _link}
    return environment
