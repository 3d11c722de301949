"""A small run on drawn photographs: a tiny trained-for-nothing network, real steps, real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from raypipe.localizers.toynet import ToyNet

CLASSES = ("boat", "car", "kite")


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a class, seven images each; the network has never learned them, nor need it."""
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for name in CLASSES:
        (root / name).mkdir()
        for number in range(7):
            pixels = generator.integers(0, 255, (6, 8, 3), dtype=np.uint8)
            image = Image.fromarray(pixels).resize((96 + number, 64), Image.Resampling.BICUBIC)
            image.save(root / name / f"{number}.jpg", quality=92)
    return root


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a toynet that knows boat and car, and not kite."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("weights") / "toynet.safetensors"
    save_file(ToyNet(2).state_dict(), place, metadata={"classes": '["boat", "car"]'})
    return place
