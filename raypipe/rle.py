"""Masks as COCO's compressed run lengths."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

Mask = npt.NDArray[np.bool_]


def encode(mask: Mask) -> bytes:
    """Return the run lengths of a mask, (H, W) bool."""
    return bytes(coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"])


def decode(counts: bytes, height: int, width: int) -> Mask:
    """Return the mask, (H, W) bool."""
    return np.asarray(coco.decode({"size": [height, width], "counts": counts}), dtype=np.bool_)
