"""Running a localizer over a decoded shard, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raypipe.columns import list_column
from raypipe.loading.shard import DecodedShard, Reject, ShardImage
from raypipe.localizers.base import Localizer
from raypipe.localizers.job import LocalizerJob
from raypipe.localizers.network import default_batch
from raypipe.maps import Floats, normalised
from raypipe.stages import stage

Cells = npt.NDArray[np.intp]


@dataclass(frozen=True)
class LocalizedImage:
    """An image with the maps of its k classes.

    Attributes:
        image: What is known of it.
        classes: The k classes; the image's own, or the one predicted where it has none.
        maps: (k, h, w) float32 foreground maps in 0..1.
        peaks: (k,) float32 raw score at each map's maximum.
        scores: (k,) float32 image-level scores.
        ranks: (k,) int32 places of the scores among those of all classes of the run, from 1.
    """

    image: ShardImage
    classes: tuple[str, ...]
    maps: Floats
    peaks: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    ranks: npt.NDArray[np.int32]


@dataclass(frozen=True)
class LocalizedBatch:
    """The images of one forward pass.

    Attributes:
        items: B images with their maps.
        features: (B, d, h, w) mid-level features, on the localizer's device and in its precision.
            They are large: use them and let them go.
    """

    items: tuple[LocalizedImage, ...]
    features: Tensor

    def vectors(self, cells: Sequence[tuple[int, Cells]]) -> Tensor:
        """Return the (N, d) features at chosen cells, on the device and in its precision.

        Args:
            cells: Places of images in the batch, each with its (n, 2) rows and columns; N in all.
        """
        images = np.repeat([at for at, _ in cells], [len(own) for _, own in cells])
        places = np.concatenate([np.empty((0, 2), np.intp), *(own for _, own in cells)])
        device = self.features.device
        image, row, col = (
            torch.from_numpy(axis.astype(np.int64)).to(device) for axis in (images, *places.T)
        )
        return self.features[image, :, row, col]


class ShardLocalizer:
    """Runs a localizer over decoded shards, batch by batch.

    Several threads may run shards at a time: one computes while another commits.

    Args:
        job: The localizer; its network is loaded here.
        batch_size: Images a forward pass; 0 = what suits the device.

    Attributes:
        device: Where the network and the features are.
    """

    def __init__(self, job: LocalizerJob, batch_size: int = 0) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._job = job
        self._localizer = job.build()
        self._batch_size = batch_size or default_batch(self._localizer.input_size)
        if self.device.type == "cuda":
            self._warm_up()

    def _warm_up(self) -> None:
        """Let the GPU's libraries load and choose their kernels before images wait for them."""
        size = self._localizer.input_size
        self._localizer.localize(np.zeros((self._batch_size, size, size, 3), np.uint8), [])

    def run(self, shard: DecodedShard, rejects: list[Reject]) -> Iterator[LocalizedBatch]:
        """Yield the images of a shard with their maps and features.

        An image for which the network gives no finite numbers is tried again in float32.

        Args:
            shard: Decoded images.
            rejects: Gets the images for which float32 gave none either.
        """
        again: list[int] = []
        for start in range(0, len(shard.images), self._batch_size):
            positions = range(start, min(start + self._batch_size, len(shard.images)))
            with stage("forward"):
                batch, failed = _localize(self._localizer, shard, positions)
            again += failed
            yield batch
        for position in again:
            batch, failed = _localize(self._precise, shard, range(position, position + 1))
            if failed:
                image = shard.images[position]
                rejects.append(
                    Reject(image.image_id, image.uri, "non_finite", "the network's output")
                )
            else:
                yield batch

    def embed(self, shard: DecodedShard) -> Iterator[npt.NDArray[np.float32]]:
        """Yield (B, d) float32 for batches of a shard: the input of the last linear layer."""
        for start in range(0, len(shard.images), self._batch_size):
            with stage("forward"):
                vectors = self._localizer.embed(_writable(shard, start, start + self._batch_size))
            yield vectors

    @cached_property
    def _precise(self) -> Localizer:
        """The same localizer in float32."""
        config = self._job.config.model_copy(update={"precision": "float32"})
        return replace(self._job, config=config).build()


def sizes(job: LocalizerJob) -> tuple[int, int]:
    """Return width and height of the network's square input, pixels, and its features' length."""
    localizer = job.build()
    size = localizer.input_size
    blank = localizer.localize(np.zeros((1, size, size, 3), np.uint8), [])
    return size, int(blank.features.shape[1])


def _writable(shard: DecodedShard, start: int, stop: int) -> npt.NDArray[np.uint8]:
    """Return a copy of a shard's pixels: torch wants it writable."""
    return np.array(shard.pixels[start:stop])


def _localize(
    localizer: Localizer, shard: DecodedShard, positions: range
) -> tuple[LocalizedBatch, list[int]]:
    """Run one batch; return it, and the positions whose output is not finite."""
    images = [shard.images[at] for at in positions]
    pixels = _writable(shard, positions.start, positions.stop)
    position = {name: at for at, name in enumerate(localizer.classes)}
    wanted = [[position[name] for name in image.classes] for image in images]
    if not all(wanted):
        # An image without labels is searched for the class that the network sees in it.
        blank = localizer.localize(pixels, [])
        best = blank.scores.nan_to_num().argmax(dim=1).tolist()
        wanted = [labels or [best[at]] for at, labels in enumerate(wanted)]
    pairs = [(at, label) for at, labels in enumerate(wanted) for label in labels]
    result = localizer.localize(pixels, pairs)
    raw, scores = result.maps.float().cpu().numpy(), result.scores.float().cpu().numpy()
    # One number an image tells whether any of its features is not finite.
    sums = result.features.sum(dim=(1, 2, 3), dtype=torch.float32).isfinite().tolist()
    ends = np.cumsum([len(labels) for labels in wanted])
    items, kept, failed = [], [], []
    for at, image in enumerate(images):
        own = slice(ends[at] - len(wanted[at]), ends[at])
        # What was searched for was chosen by all scores; else the other classes' say nothing.
        judged = scores[at, wanted[at]] if image.classes else scores[at]
        if not (sums[at] and np.isfinite(raw[own]).all() and np.isfinite(judged).all()):
            failed.append(positions[at])
            continue
        kept.append(at)
        items.append(
            LocalizedImage(
                image=image,
                classes=tuple(localizer.classes[label] for label in wanted[at]),
                maps=normalised(raw[own]),
                peaks=raw[own].max(axis=(1, 2)),
                scores=scores[at, wanted[at]],
                ranks=_ranks(scores[at], wanted[at]),
            )
        )
    features = result.features if not failed else result.features[kept]
    return LocalizedBatch(tuple(items), features), failed


def _ranks(scores: npt.NDArray[np.float32], wanted: Sequence[int]) -> npt.NDArray[np.int32]:
    """Return the places of chosen scores, from 1; of equal ones each is behind the others."""
    return np.array([(scores >= scores[label]).sum() for label in wanted], np.int32)


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
