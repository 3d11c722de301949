"""Whole runs to look at: photographs that nobody learned, and the demonstration."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image
from safetensors.torch import save_file

from raypipe.localizers.toynet import ToyNet
from tests.conftest import RunCli

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


@dataclass(frozen=True)
class Demo:
    """The demonstration, run once for all tests.

    Attributes:
        folder: Working directory; the run is `folder / "runs/demo"`.
        report: What `raypipe demo --json` printed.
        words: What it said on stderr.
    """

    folder: Path
    report: dict[str, Any]
    words: str

    @property
    def run(self) -> Path:
        return self.folder / "runs" / "demo"

    @property
    def network(self) -> tuple[str, ...]:
        place = self.run / "network" / "toynet.safetensors"
        return ("--architecture", "toynet", "--weights", str(place))


@pytest.fixture(scope="session")
def demo(process: RunCli, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """Run the demonstration, or take the run of another test process."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder, kept = base / "demo", base / "demo.json"
    with FileLock(base / "demo.lock"):
        if not kept.exists():
            folder.mkdir()
            result = process("demo", "--json", cwd=folder)
            assert result.returncode == 0, result.stderr
            kept.write_text(json.dumps([result.stdout, result.stderr]))
    printed, words = json.loads(kept.read_text())
    return Demo(folder, json.loads(printed), words)
