"""What a truth file says of one object, in whatever format it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Annotated:
    """One object, or one region without a verdict.

    Attributes:
        image: The image's name as the file has it.
        name: The class's, likewise.
        box: x0, y0, x1, y1, pixels from 0, ends exclusive; or None.
        counts: Mask as COCO's compressed run lengths, or None.
        mask_uri: Mask as a grey PNG whose pixels above 0 are inside, or None.
        size: Width and height that the file says the image has, or None.
        void: Its pixels count neither way, where no object lies.
    """

    image: str
    name: str
    box: tuple[float, float, float, float] | None = None
    counts: bytes | None = None
    mask_uri: str | None = None
    size: tuple[int, int] | None = None
    void: bool = False
