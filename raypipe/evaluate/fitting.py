"""Truth brought to the frame of an image: what is scaled, what is left out, and what is said of it.

The policy for truth that does not match, each case counted in the report:

* `resized`: truth of another size and the same shape (within a pixel) is scaled to the image.
* `other_size`: truth of another shape, a photo turned since for instance, judges nothing.
* `empty_mask`: a mask without a pixel of the class outside void judges no pixels.
* `several_boxes`: any of the true boxes may be found.
* `without_truth`: a pair with neither box nor mask judges nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from raypipe.datasets.truth import ClassMask, Labels, Truth
from raypipe.evaluate.masks import has_pixels
from raypipe.maps import Doubles

T = TypeVar("T", bound=np.generic)
Size = tuple[int, int]

_AS_IT_IS = (1.0, 1.0)


@dataclass(frozen=True)
class PairTruth:
    """What judges one class of one image.

    Attributes:
        boxes: (m, 4) true boxes, pixels of the image, ends exclusive.
        mask: The class's mask at image size, with pixels of it; or None.
        notes: What did not match.
    """

    boxes: Doubles
    mask: ClassMask | None
    notes: tuple[str, ...]

    def without_boxes(self) -> PairTruth:
        """Return what judges a mask alone."""
        return replace(self, boxes=self.boxes[:0])


@dataclass(frozen=True)
class Frame:
    """How the truth of an image goes into the image.

    Attributes:
        size: Width and height of the image, pixels.
        scale: Factors of x and y that its truth is multiplied by; None: it does not fit.
    """

    size: Size
    scale: tuple[float, float] | None

    @classmethod
    def of(cls, size: Size, truth: Size | None) -> Frame:
        """Compare the sizes of an image and of its truth; None means that the truth says none."""
        if truth is None or truth == size:
            return cls(size, _AS_IT_IS)
        across, down = size[0] / truth[0], size[1] / truth[1]
        alike = abs(truth[0] * down - size[0]) <= 1 or abs(truth[1] * across - size[1]) <= 1
        return cls(size, (across, down) if alike else None)


def pair_truth(truth: Truth, image_id: str, name: str, frame: Frame) -> PairTruth:
    """Return what judges a class of an image."""
    boxes, mask = truth.boxes(image_id, name), truth.mask(image_id, name)
    framed = len(boxes) > 0 and truth.framed  # boxes of an index are in the image's own frame
    notes = []
    if frame.scale is None:
        if framed or mask is not None:
            notes.append("other_size")
        boxes, mask = boxes[:0] if framed else boxes, None
    elif frame.scale != _AS_IT_IS:
        if framed or mask is not None:
            notes.append("resized")
        boxes = boxes * np.array(frame.scale * 2) if framed else boxes
        if mask is not None:
            planes = (nearest(plane, frame.size) for plane in (mask.inside, mask.valid))
            mask = ClassMask(*planes)
    if mask is not None and not has_pixels(mask):
        notes.append("empty_mask")
        mask = None
    if len(boxes) > 1:
        notes.append("several_boxes")
    if not len(boxes) and mask is None and not notes:
        notes.append("without_truth")
    return PairTruth(boxes, mask, tuple(notes))


def image_labels(truth: Truth, image_id: str, frame: Frame) -> Labels | None:
    """Return the true class of each pixel at image size, or None where none is known."""
    labels = None if frame.scale is None else truth.labels(image_id)
    if labels is None or frame.scale == _AS_IT_IS:
        return labels
    return nearest(labels, frame.size)


def nearest(values: npt.NDArray[T], size: Size) -> npt.NDArray[T]:
    """Return an array at another width and height, each pixel the one that its centre lies in."""
    cols, rows = (
        ((np.arange(length) + 0.5) * own / length).astype(np.intp)
        for length, own in zip(size, values.shape[::-1], strict=True)
    )
    return values[np.ix_(rows, cols)]
