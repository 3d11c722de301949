"""Which cells of a foreground map become regions, and their features."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raypipe.config import ExtractConfig
from raypipe.localizers.shard import Cells, LocalizedImage


@dataclass(frozen=True)
class RegionSample:
    """The n regions that one class of one image gives.

    Attributes:
        image_id: The image.
        name: The class.
        background: They are of the background bank.
        cells: (n, 2) row and column.
        scores: (n,) float32, the map at the cells.
    """

    image_id: str
    name: str
    background: bool
    cells: Cells
    scores: npt.NDArray[np.float32]


def regions_of(
    item: LocalizedImage, class_sizes: Mapping[str, int], config: ExtractConfig
) -> Iterator[RegionSample]:
    """Yield an image's regions: for each class foreground, then background.

    Args:
        item: The image with its maps.
        class_sizes: Images of each class, for the quotas.
        config: Thresholds, quotas and seed.
    """
    # An image without labels has a map of the class seen in it, but is no example of any class.
    labelled = zip(item.image.classes, item.image.ordinals, item.maps, strict=False)
    for name, ordinal, grid in labelled:
        if not grid.any():
            continue  # nowhere a positive score: that says nothing of the background either
        for background, candidates, most in (
            (False, grid > config.threshold, config.regions_per_class),
            (True, grid < config.background_threshold, config.background_per_class),
        ):
            count = quota(ordinal, class_sizes[name], most)
            key = (config.seed, item.image.image_id, name, background)
            cells = sample(candidates, count, key)
            yield RegionSample(
                item.image.image_id, name, background, cells, grid[cells[:, 0], cells[:, 1]]
            )


def quota(ordinal: int, images: int, most: int) -> int:
    """Return how many cells an image may give, so that a class gives at most `most`.

    The quotas of a class's images sum to `most` exactly, whatever their number, and depend on
    nothing but the image's place: the same regions whatever the parallelism.

    Args:
        ordinal: The image's place among the class's images, from 0.
        images: Images of the class.
        most: Cells of the class, at most.
    """
    return (ordinal + 1) * most // images - ordinal * most // images


def sample(candidates: npt.NDArray[np.bool_], most: int, key: tuple[object, ...]) -> Cells:
    """Choose cells at random, the same ones for the same key.

    Args:
        candidates: (h, w) bool, cells to choose from.
        most: Cells to choose, at most.
        key: What the choice is for, seed included.

    Returns:
        (n, 2) row and column, in reading order.
    """
    cells = np.argwhere(candidates)
    if len(cells) <= most:
        return cells
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    generator = np.random.default_rng(int.from_bytes(digest, "big"))
    return cells[np.sort(generator.choice(len(cells), most, replace=False))]
