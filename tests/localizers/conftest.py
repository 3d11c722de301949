"""Networks with random weights in files, as small as torchvision has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from raypipe.config import LocalizerConfig
from raypipe.datasets.base import ClassRecord
from raypipe.localizers.architectures import build

OUTPUTS = 10
NAMES = tuple(f"class{number}" for number in range(OUTPUTS))


def random_state(architecture: str, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return weights under which values neither vanish nor explode.

    The huge linear layers of AlexNet and VGG get one number a row, which a file holds once.
    """
    # Only the huge ones are built without memory: RegNet computes with numbers while it is built.
    with torch.device("meta" if architecture.startswith(("vgg", "alexnet")) else "cpu"):
        shapes = {name: (item.shape, item.dtype)
                  for name, item in build(architecture, OUTPUTS).state_dict().items()}  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, (shape, dtype) in shapes.items():
        if not dtype.is_floating_point:
            state[name] = torch.zeros(shape, dtype=dtype)
        elif len(shape) in {2, 4}:
            fan_in = shape.numel() // shape[0]
            drawn = shape if shape.numel() < 5e6 else (shape[0], *[1] * (len(shape) - 1))
            scale = (2 / fan_in) ** 0.5 if drawn == shape else 1 / fan_in
            state[name] = (torch.randn(drawn, generator=generator) * scale).expand(shape)
        elif name.endswith(("bias", "running_mean")):
            state[name] = torch.randn(shape, generator=generator) * 0.1
        else:
            state[name] = torch.rand(shape, generator=generator) + 0.5
    return state


@pytest.fixture(scope="session")
def names_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("names") / "names.txt"
    path.write_text("\n".join(NAMES))
    return path


MakeConfig = Callable[..., LocalizerConfig]


@pytest.fixture(scope="session")
def network(tmp_path_factory, names_file) -> MakeConfig:
    """Write a network's weights and return the settings that load it."""
    folder = tmp_path_factory.mktemp("weights")

    def make(architecture: str = "resnet18", **changes) -> LocalizerConfig:
        path = folder / f"{architecture}.pth"
        if not path.exists():
            torch.save(random_state(architecture), path)
        return LocalizerConfig(
            **{"architecture": architecture, "weights": str(path), "input_size": 96,
               "precision": "float32", "network_classes": str(names_file)} | changes
        )  # fmt: skip

    return make


@pytest.fixture
def classes() -> list[ClassRecord]:
    return [ClassRecord(name) for name in NAMES]


@pytest.fixture
def pixels() -> Callable[..., np.ndarray]:
    def make(count: int = 2, size: int = 96) -> np.ndarray:
        generator = np.random.default_rng(count)
        coarse = generator.integers(0, 256, (count, 4, 4, 3), np.uint8)
        return coarse.repeat(size // 4, axis=1).repeat(size // 4, axis=2)

    return make


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    """Keep small networks from waiting for threads: four times as fast on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
