"""The small network of the demonstration, and its training from image-level labels.

Trained on the drawn scenes, in seconds on a laptop, it shows what large classifiers show on
photographs: whatever always comes with a class becomes evidence for the class.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

# ImageNet's, per channel: what every localizer feeds its network.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)

_CLASSES = "classes"  # the weights file's metadata: a JSON list, in the order of the outputs
_BATCH = 32
_PEAK_RATE = 4e-3
_DECAY = 1e-2


def _block(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class ToyNet(nn.Module):
    """Four convolutions, global average pooling and one linear layer.

    A cell of either map stands for 8 × 8 pixels and sees 11 × 11: little more than its own place,
    so that a map ends where the thing ends. With a 3 × 3 convolution in the trunk the maps ran
    into their surroundings, clusters mixed, and refined CorLoc was 0.84 instead of 0.98.

    Args:
        num_classes: C, the number of outputs.

    Attributes:
        mid: Mid-level features, (n, 3, S, S) to (n, 32, S / 8, S / 8).
        trunk: The last convolutional map, (n, 96, S / 8, S / 8).
        head: The linear layer on the trunk's mean.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.mid = nn.Sequential(_block(3, 16, 3, 2), _block(16, 32, 3, 2), nn.AvgPool2d(2))
        self.trunk = nn.Sequential(_block(32, 64, 1), _block(64, 96, 1))
        self.head = nn.Linear(96, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return class scores.

        Args:
            images: (n, 3, S, S) float32, ImageNet-normalised, S at least 8.

        Returns:
            (n, C) float32 logits, one independent decision a class.
        """
        scores: Tensor = self.head(self.trunk(self.mid(images)).mean(dim=(2, 3)))
        return scores


def train(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.float32],
    *,
    epochs: int = 15,
    seed: int = 0,
) -> ToyNet:
    """Train a network from image-level labels, on one thread of the CPU.

    The same arguments give the same network on the same library versions and processor; torch's
    random state and thread count are as before afterwards.

    Args:
        images: (n, S, S, 3) uint8 RGB.
        labels: (n, C) 0 or 1; an image may carry several.
        epochs: Passes over the images.
        seed: Decides initial weights, order, crops and flips.

    Returns:
        The network, in evaluation mode.
    """
    truth = torch.from_numpy(np.asarray(labels, dtype=np.float32))
    with _reproducible(seed):
        pixels = _normalised(torch.from_numpy(images))
        network = ToyNet(truth.shape[1]).to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=_DECAY)
        steps = epochs * -(-len(pixels) // _BATCH)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, _PEAK_RATE, total_steps=steps)
        for _ in range(epochs):
            for chosen in torch.split(torch.randperm(len(pixels)), _BATCH):
                scores = network(_augmented(pixels[chosen]))
                loss = functional.binary_cross_entropy_with_logits(scores, truth[chosen])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                rate.step()
    return network.eval()


def save(network: ToyNet, path: str | Path, classes: Sequence[str]) -> None:
    """Write the weights as safetensors, with the names of the outputs as metadata.

    Args:
        network: What to write.
        path: The file, ending in `.safetensors`.
        classes: C names, in the order of the outputs.
    """
    from safetensors.torch import save as encode

    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    # One entry only: safetensors writes several in random order, and equal weights would no
    # longer be equal files with equal fingerprints.
    Path(path).write_bytes(encode(state, metadata={_CLASSES: json.dumps(list(classes))}))


def _normalised(images: Tensor) -> Tensor:
    """Return (n, 3, S, S) float32, channels last in memory, of (n, S, S, 3) uint8."""
    mean, std = torch.tensor(_MEAN) * 255, torch.tensor(_STD) * 255
    return ((images.float() - mean) / std).permute(0, 3, 1, 2)


def _augmented(batch: Tensor) -> Tensor:
    """Return a random crop of 4/5 of each side, mirrored every second time."""
    size = batch.shape[-1]
    crop = size * 4 // 5
    top, left = (int(torch.randint(size - crop + 1, ())) for _ in range(2))
    cut = batch[..., top : top + crop, left : left + crop]
    cut = cut.flip(3) if torch.rand(()) < 0.5 else cut
    return cut.contiguous(memory_format=torch.channels_last)


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Seed torch and use one thread, because sums depend on their number; then put both back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
