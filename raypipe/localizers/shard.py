"""Running a localizer over a decoded shard, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from raypipe.datasets.decode import DecodedShard, Reject, ShardImage
from raypipe.localizers.base import Localizer
from raypipe.maps import Floats, normalised
from raypipe.tables import list_column

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LocalizedImage:
    """An image with the maps of its k classes.

    Attributes:
        image: What is known of it.
        classes: The k classes; the image's own, or the one predicted where it has none.
        maps: (k, h, w) float32 foreground maps in 0..1.
        peaks: (k,) float32 raw score at each map's maximum.
        scores: (k,) float32 image-level scores.
    """

    image: ShardImage
    classes: tuple[str, ...]
    maps: Floats
    peaks: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]


def localize_shard(
    localizer: Localizer, shard: DecodedShard, batch_size: int, rejects: list[Reject]
) -> Iterator[tuple[LocalizedImage, Tensor]]:
    """Yield the images of a shard with their maps, and their (d, h, w) float32 features.

    The features are large and lie on the localizer's device: use them and let them go.

    Args:
        localizer: The network.
        shard: Decoded images.
        batch_size: Images a forward pass.
        rejects: Gets the images for which the network gave no finite numbers.
    """
    for start in range(0, len(shard.images), batch_size):
        images = shard.images[start : start + batch_size]
        pixels = np.array(shard.pixels[start : start + len(images)])  # torch wants it writable
        yield from _batch(localizer, images, pixels, rejects)


def _batch(
    localizer: Localizer,
    images: tuple[ShardImage, ...],
    pixels: npt.NDArray[np.uint8],
    rejects: list[Reject],
) -> Iterator[tuple[LocalizedImage, Tensor]]:
    position = {name: at for at, name in enumerate(localizer.classes)}
    wanted = [[position[name] for name in image.classes] for image in images]
    if not all(wanted):
        # An image without labels is searched for the class that the network sees in it.
        blank = localizer.localize(pixels, [])
        best = blank.scores.argmax(dim=1).tolist()
        wanted = [labels or [best[at]] for at, labels in enumerate(wanted)]
    pairs = [(at, label) for at, labels in enumerate(wanted) for label in labels]
    result = localizer.localize(pixels, pairs)
    raw, scores = result.maps.cpu().numpy(), result.scores.cpu().numpy()
    ends = np.cumsum([len(labels) for labels in wanted])
    for at, image in enumerate(images):
        own = slice(ends[at] - len(wanted[at]), ends[at])
        if not (np.isfinite(raw[own]).all() and bool(result.features[at].isfinite().all())):
            rejects.append(Reject(image.image_id, image.uri, "non_finite", "the network's output"))
            continue
        localized = LocalizedImage(
            image=image,
            classes=tuple(localizer.classes[label] for label in wanted[at]),
            maps=normalised(raw[own]),
            peaks=raw[own].max(axis=(1, 2)),
            scores=scores[at, wanted[at]],
        )
        yield localized, result.features[at]


def map_columns(
    pairs: Sequence[tuple[LocalizedImage, int]], maps: Sequence[Floats] | None = None
) -> dict[str, Any]:
    """Return the columns that the maps and detections tables share.

    Args:
        pairs: An image and the position of one of its classes, a pair a row.
        maps: (h, w) maps to write instead of the images' own, one a pair.
    """
    grids = maps if maps is not None else [item.maps[at] for item, at in pairs]
    return {
        "image_id": [item.image.image_id for item, _ in pairs],
        "class": [item.classes[at] for item, at in pairs],
        "width": [item.image.width for item, _ in pairs],
        "height": [item.image.height for item, _ in pairs],
        "grid_width": [grid.shape[1] for grid in grids],
        "grid_height": [grid.shape[0] for grid in grids],
        "map": list_column(grids, np.float16),
    }
