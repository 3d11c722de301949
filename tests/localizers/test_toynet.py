"""The demonstration's network: its shapes, its training, its file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from raypipe.datasets.scenes import KINDS, draw
from raypipe.localizers.toynet import ToyNet, save, train

_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
_STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def scenes(each: int, *, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures of all classes, and their one-hot labels."""
    pixels = [
        draw(kind, 96, np.random.default_rng((number, value))).pixels
        for value, kind in enumerate(KINDS)
        for number in range(first, first + each)
    ]
    return np.stack(pixels), np.repeat(np.eye(len(KINDS), dtype=np.float32), each, axis=0)


@pytest.fixture(scope="module")
def trained() -> ToyNet:
    return train(*scenes(24), epochs=20, seed=0)


def predictions(network: ToyNet, pixels: np.ndarray) -> np.ndarray:
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        return network((batch - _MEAN) / _STD).argmax(dim=1).numpy()


@pytest.mark.parametrize("size", [64, 160])
def test_both_maps_have_a_cell_for_every_8_pixels(size: int) -> None:
    network = ToyNet(5).eval()
    mid = network.mid(torch.zeros(2, 3, size, size))
    trunk = network.trunk(mid)
    assert mid.shape == (2, 32, size // 8, size // 8)
    assert trunk.shape == (2, 96, size // 8, size // 8)


def test_the_head_sees_the_trunks_mean() -> None:
    network = ToyNet(3).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        trunk = network.trunk(network.mid(images))
        # What a class activation map rests on: the score is the mean of the map, and the bias.
        maps = torch.einsum("cd,ndhw->nchw", network.head.weight, trunk)
        expected = maps.mean(dim=(2, 3)) + network.head.bias
        torch.testing.assert_close(network(images), expected)


def test_a_cell_sees_11_pixels() -> None:
    torch.manual_seed(0)
    network = ToyNet(3).eval()
    images = torch.randn(1, 3, 160, 160, requires_grad=True)
    network.trunk(network.mid(images))[0, :, 10, 10].sum().backward()
    assert images.grad is not None
    _, _, rows, cols = np.nonzero(images.grad.numpy())
    assert (np.ptp(rows) + 1, np.ptp(cols) + 1) == (11, 11)


def test_training_learns_classes_that_it_has_not_seen_drawn(trained: ToyNet) -> None:
    pixels, labels = scenes(8, first=1000)
    assert (predictions(trained, pixels) == labels.argmax(axis=1)).mean() > 0.9
    assert not trained.training


def test_training_takes_several_labels_an_image() -> None:
    pixels, labels = scenes(2)
    network = train(pixels, np.clip(labels + np.roll(labels, 1, axis=1), 0, 1), epochs=1)
    assert network.head.out_features == len(KINDS)


def test_training_is_reproducible_and_leaves_torch_as_it_was() -> None:
    pixels, labels = scenes(4)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.manual_seed(1)
        state = torch.get_rng_state()
        one = train(pixels, labels, epochs=2, seed=3).state_dict()
        assert torch.get_num_threads() == 2
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(2)
        same, other = (train(pixels, labels, epochs=2, seed=s).state_dict() for s in (3, 4))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_equal_weights_are_equal_files_and_load_strictly(trained: ToyNet, tmp_path: Path) -> None:
    names = [kind.name for kind in KINDS]
    files = [tmp_path / f"{number}.safetensors" for number in range(8)]
    for file in files:
        save(trained, file, names)
    assert len({file.read_bytes() for file in files}) == 1
    network = ToyNet(len(KINDS))
    with safe_open(files[0], framework="pt") as stored:
        assert json.loads(stored.metadata()["classes"]) == names
        network.load_state_dict({name: stored.get_tensor(name) for name in stored.keys()})  # noqa: SIM118
    pixels = scenes(2)[0]
    assert (predictions(network.eval(), pixels) == predictions(trained, pixels)).all()
