"""Laying out a class's contact sheet as one picture. Pure: facts and tiles in, an image out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont

from raypipe.annotate.facts import ClassFacts, ClusterFacts
from raypipe.annotate.spectrum import spectrum
from raypipe.annotate.tiles import Tile

_PAPER, _PANEL, _INK, _FAINT = "#ffffff", "#f3f4f6", "#15181e", "#666c78"
_ACCENT, _EDGE = "#2f81d6", "#d98e00"
_MARGIN, _GAP, _PAD = 28, 8, 14
_COLUMNS = 6
_LEAST_WIDTH = 760  # the header's text and plot fit side by side from here on
_HEADER, _STRIP, _FOOTER = 150, 54, 46
_TITLE = 50  # above a cluster that stands alone
_PLOT = (300, 138)
_ANSWERS = "o  object      d  distractor: something that comes with it      u  unsure"


def contact_sheet(
    facts: ClassFacts, tiles: Sequence[Sequence[Tile]], count: int, side: int
) -> Image.Image:
    """Draw the sheet of one class.

    Args:
        facts: The class and its clusters.
        tiles: The tiles of each cluster, in the clusters' order.
        count: Tiles that a cluster has at most; the width of the sheet follows from it.
        side: Width and height of a tile, pixels.

    Returns:
        RGB.
    """
    columns = min(count, _COLUMNS)
    inner = max(columns * side + (columns - 1) * _GAP + 2 * _PAD, _LEAST_WIDTH)
    heights = [_cluster_height(len(own), columns, side) for own in tiles]
    width = inner + 2 * _MARGIN
    height = _HEADER + sum(heights) + _MARGIN * len(heights) + _FOOTER + _MARGIN
    sheet = Image.new("RGB", (width, height), _PAPER)
    _draw_header(sheet, facts)
    top = _HEADER + _MARGIN
    for cluster, own, needed in zip(facts.clusters, tiles, heights, strict=True):
        panel = _cluster_panel(cluster, own, (inner, needed), columns, side)
        sheet.paste(panel, (_MARGIN, top))
        top += needed + _MARGIN
    pen = ImageDraw.Draw(sheet)
    asked = _fitted(question(facts), inner, 15)
    pen.text((_MARGIN, top), asked, _INK, _font(15, bold=True))
    pen.text((_MARGIN, top + 24), _ANSWERS, _FAINT, _font(13))
    return sheet


def question_picture(
    facts: ClassFacts, cluster: ClusterFacts, tiles: Sequence[Tile], count: int, side: int
) -> Image.Image:
    """Draw one cluster alone, as it stands on the sheet, below the class's name.

    Args:
        facts: The class.
        cluster: One of its clusters.
        tiles: The cluster's tiles.
        count: Tiles that a cluster has at most; the width of the picture follows from it.
        side: Width and height of a tile, pixels.

    Returns:
        RGB.
    """
    columns = min(count, _COLUMNS)
    width = max(columns * side + (columns - 1) * _GAP + 2 * _PAD, _LEAST_WIDTH)
    height = _cluster_height(len(tiles), columns, side)
    picture = Image.new("RGB", (width, _TITLE + height), _PAPER)
    name = _fitted(facts.title, width - 2 * _PAD, 24)
    ImageDraw.Draw(picture).text((_PAD, 10), name, _INK, _font(24, bold=True))
    picture.paste(_cluster_panel(cluster, tiles, (width, height), columns, side), (0, _TITLE))
    return picture


def question(facts: ClassFacts) -> str:
    """Return what a person is asked about a class's clusters, or about the groups."""
    thing = "very object that its tile names" if facts.shared else f"{facts.title} itself"
    return f"Is what is lit the {thing}?"


def percent(share: float) -> str:
    """Return a share for people: whole percents, but never 0 for something."""
    return "< 1 %" if 0 < share < 0.005 else f"{share:.0%}".replace("%", " %")


def _cluster_height(tiles: int, columns: int, side: int) -> int:
    rows = max(1, -(-tiles // columns))
    return _STRIP + rows * side + (rows - 1) * _GAP + _PAD


def _draw_header(sheet: Image.Image, facts: ClassFacts) -> None:
    pen = ImageDraw.Draw(sheet)
    room = sheet.width - 3 * _MARGIN - _PLOT[0]
    pen.text((_MARGIN, 36), _fitted(facts.title, room, 32), _INK, _font(32, bold=True))
    lines = [facts.summary]
    if facts.title != facts.name and not facts.shared:
        lines.insert(0, _fitted(facts.name, room, 15))
    for place, line in enumerate(lines):
        pen.text((_MARGIN, 82 + 26 * place), line, _FAINT, _font(15))
    if facts.eigenvalues:
        plot = spectrum(facts.eigenvalues, len(facts.clusters), _PLOT)
        sheet.paste(plot, (sheet.width - _MARGIN - _PLOT[0], 20), plot)


def _cluster_panel(
    cluster: ClusterFacts, tiles: Sequence[Tile], size: tuple[int, int], columns: int, side: int
) -> Image.Image:
    panel = Image.new("RGB", size, _PANEL)
    pen = ImageDraw.Draw(panel)
    pen.rectangle((0, 0, round(size[0] * cluster.share), 4), fill=_ACCENT)
    name = f"Cluster {cluster.number}"
    pen.text((_PAD, 17), name, _INK, _font(20, bold=True))
    # A sheet that was printed or kept must not be taken for one of other clusters.
    beside = _PAD + _font(20, bold=True).getlength(name) + 12
    pen.text((beside, 25), cluster.membership, _FAINT, _font(11))
    room = size[0] - _PAD - beside - _font(11).getlength(cluster.membership) - 12
    told = [
        f"{percent(cluster.share)} of the regions ({cluster.regions:,})",
        f"in {percent(cluster.image_share)} of the images ({cluster.images:,})",
    ]
    if cluster.members:
        told.append(f"from {cluster.classes:,} {'class' if cluster.classes == 1 else 'classes'}")
    if cluster.group is not None:
        told.append(f"asked as cluster {cluster.group} of all classes")
    line = "    ".join(told)
    fits = next((points for points in (15, 13) if _font(points).getlength(line) <= room), 11)
    pen.text((size[0] - _PAD, 36), line, _FAINT, _font(fits), anchor="rs")
    for place, tile in enumerate(tiles):
        row, col = divmod(place, columns)
        corner = (_PAD + col * (side + _GAP), _STRIP + row * (side + _GAP))
        panel.paste(tile.lit, corner)
        if tile.caption:
            _write_caption(pen, tile.caption, corner, side)
        if tile.borderline:
            _mark_borderline(pen, corner, side)
    if not tiles:
        pen.text((_PAD, _STRIP), "none of its images can be read", _FAINT, _font(15))
    return panel


def _mark_borderline(pen: ImageDraw.ImageDraw, corner: tuple[int, int], side: int) -> None:
    x, y = corner
    pen.rectangle((x - 2, y - 2, x + side + 1, y + side + 1), outline=_EDGE, width=2)
    pen.rectangle((x, y + side - 17, x + 62, y + side - 1), fill=_EDGE)
    pen.text((x + 4, y + side - 15), "borderline", "#ffffff", _font(11))


def _write_caption(
    pen: ImageDraw.ImageDraw, caption: str, corner: tuple[int, int], side: int
) -> None:
    x, y = corner
    line = _fitted(caption, side - 8, 11)
    width = round(_font(11, bold=True).getlength(line))
    pen.rectangle((x, y, x + width + 7, y + 16), fill=_INK)
    pen.text((x + 4, y + 2), line, "#ffffff", _font(11, bold=True))


def _fitted(text: str, room: int, size: int) -> str:
    """Cut a text to one line of the given width."""
    line = " ".join(text.split())
    cut = line
    while cut and _font(size, bold=True).getlength(cut) > room:
        cut = cut[:-1]
    return line if cut == line else cut[:-1] + "…"


@cache
def _font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    # matplotlib carries DejaVu Sans, which holds more scripts than Pillow's own font.
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / name), size)
