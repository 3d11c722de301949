"""PASCAL VOC annotation XML, which VOC, ILSVRC and many other tools write."""

from __future__ import annotations

from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from raypipe.datasets.base import Box
from raypipe.errors import InputError


def read_boxes(xml: bytes, source: str, *, first: int) -> tuple[Box, ...]:
    """Return the objects of an annotation file.

    Args:
        xml: The file's content; entity declarations are refused.
        source: Its name, for errors.
        first: Number of the first pixel: 1 for VOC, 0 for ILSVRC. Both count the last inclusive.

    Returns:
        Boxes in the order of the file: pixels from 0, end exclusive.

    Raises:
        InputError: If it is not such a file.
    """
    try:
        root: Element = fromstring(xml)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise InputError(
            f"{source}: not a safe XML file ({error})", "restore or remove it"
        ) from None
    return tuple(_box(item, source, first) for item in root.iter("object"))


def _box(item: Element, source: str, first: int) -> Box:
    try:
        name = (item.findtext("name") or "").strip()
        corners = item.find("bndbox")
        if not name or corners is None:
            raise ValueError("an object lacks name or bndbox")
        # Some VOC files hold fractions ("45.70000076293945").
        x0, y0, x1, y1 = (
            float(corners.findtext(side) or "") for side in ("xmin", "ymin", "xmax", "ymax")
        )
    except ValueError as error:
        raise InputError(
            f"{source}: not a VOC annotation ({error})", "restore or remove it"
        ) from None
    difficult = (item.findtext("difficult") or "0").strip() == "1"
    return Box(name, x0 - first, y0 - first, x1 - first + 1, y1 - first + 1, difficult)
