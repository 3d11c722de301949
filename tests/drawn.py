"""A small network with random weights, and shards of noise for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from raypipe.config import LocalizerConfig
from raypipe.datasets.base import ClassRecord
from raypipe.loading.shard import DecodedShard, Reject, ShardImage
from raypipe.localizers.job import LocalizerJob
from raypipe.localizers.toynet import ToyNet, save
from tests.localizers.conftest import NAMES, random_state

SIZE = 64


def toynet_job(folder: Path, *classes: str) -> LocalizerJob:
    """Return a localizer of 8 x 8 cells with 32 features each, whose weights lie in the folder."""
    network = ToyNet(len(NAMES))
    network.load_state_dict(random_state("toynet"))
    save(network, folder / "toynet.safetensors", NAMES)
    config = LocalizerConfig(
        architecture="toynet", weights=str(folder / "toynet.safetensors"), input_size=SIZE,
        precision="float32",
    )  # fmt: skip
    return LocalizerJob(config, tuple(ClassRecord(name) for name in classes))


def noise_shard(
    name: str, labels: Sequence[tuple[str, ...]], rejects: Sequence[str] = (), seed: int = 0
) -> DecodedShard:
    """Return a shard of an image for each tuple of labels, `name-0` and so on."""
    coarse = np.random.default_rng(seed).integers(0, 256, (len(labels), 8, 8, 3), np.uint8)
    images = tuple(
        ShardImage(f"{name}-{at}", f"/{name}-{at}", own, (at,) * len(own), 30, 20)
        for at, own in enumerate(labels)
    )
    failed = tuple(Reject(image, f"/{image}", "empty", "zero bytes") for image in rejects)
    return DecodedShard(name, images, coarse.repeat(8, axis=1).repeat(8, axis=2), failed)
