"""What a localizer is: for a batch of images, a map for each class asked for, and features.

A classifier's activation map and a segmentation network's score map fit the same Protocol: the
caller names (image, class) pairs and gets one map a pair, on the grid of the features. To add a
localizer, write a class whose constructor takes `(config, classes, head)` and register it under
the entry point group `raypipe.localizers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Pair = tuple[int, int]
"""Position of an image in its batch, position of a class in the localizer's `classes`."""


@dataclass(frozen=True)
class Head:
    """A linear head learned on a network's pooled features.

    Attributes:
        classes: Its classes.
        weight: (n, d) float32.
        bias: (n,) float32.
    """

    classes: tuple[str, ...]
    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Localization:
    """What a localizer gives for a batch of B images and P pairs, on its device.

    Attributes:
        maps: (P, h, w) float32 raw class scores, higher = more likely; may be negative.
        features: (B, d, h, w) mid-level features on the same grid, in any floating type.
        scores: (B, n) float32 image-level scores of all classes.
    """

    maps: Tensor
    features: Tensor
    scores: Tensor


class Localizer(Protocol):
    """A network that localizes classes it was trained on with image-level labels."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes it can be asked for."""
        ...

    @property
    def input_size(self) -> int:
        """Width and height of its square input, pixels."""
        ...

    def localize(self, pixels: npt.NDArray[np.uint8], pairs: Sequence[Pair]) -> Localization:
        """Return maps and features of a batch.

        Args:
            pixels: (B, S, S, 3) uint8 RGB, S = `input_size`.
            pairs: The classes wanted of each image.
        """
        ...

    def embed(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return (B, d) float32: the input of the network's last linear layer."""
        ...
