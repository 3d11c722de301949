"""The small network of the demonstration, and its training from image-level labels.

Trained here on the drawn scenes, in seconds on a laptop, it shows what large classifiers show on
photographs: whatever always comes with a class becomes evidence for the class.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

_MEAN = (0.485, 0.456, 0.406)  # of ImageNet, as every localizer feeds its network
_STD = (0.229, 0.224, 0.225)
_THREADS = 2  # sums are ordered by thread: another number would be another network
_BATCH = 32
_PEAK_RATE = 4e-3


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class ToyNet(nn.Module):
    """Five convolutions, global average pooling and one linear layer.

    Fully convolutional up to the pooling: any input of 32 pixels or more will do. Both maps have a
    cell for every 8 pixels, so 20 × 20 for the demonstration's 160.

    Args:
        num_classes: C, the number of outputs.

    Attributes:
        stem: (n, 3, S, S) to (n, 32, S / 4, S / 4).
        mid: Mid-level features, (n, 64, S / 8, S / 8); a cell sees 47 pixels.
        trunk: The last convolutional map, (n, 96, S / 8, S / 8).
        head: The linear layer on the trunk's mean.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(_block(3, 16, 2), _block(16, 32, 2))
        self.mid = nn.Sequential(_block(32, 64, 2), _block(64, 64))
        self.trunk = _block(64, 96)
        self.head = nn.Linear(96, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return class scores: (n, 3, S, S) float32, ImageNet-normalised, to (n, C) logits."""
        trunk = self.trunk(self.mid(self.stem(images)))
        scores: Tensor = self.head(trunk.mean(dim=(2, 3)))
        return scores


def train(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.float32],
    *,
    epochs: int = 20,
    seed: int = 0,
    crop: int = 128,
    wd: float = 1e-2,
) -> ToyNet:
    data = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    truth = torch.from_numpy(labels)
    with _reproducible(seed):
        model = ToyNet(truth.shape[1]).to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(model.parameters(), weight_decay=wd)
        steps = epochs * -(-len(data) // _BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _PEAK_RATE, total_steps=steps)
        for _ in range(epochs):
            for chosen in torch.randperm(len(data)).split(_BATCH):
                optimizer.zero_grad()
                scores = model(normalised(_augmented(data[chosen], crop)))
                loss = functional.binary_cross_entropy_with_logits(scores, truth[chosen])
                loss.backward()
                optimizer.step()
                schedule.step()
    print("loss", loss.item())
    return model.eval()


def normalised(images: Tensor) -> Tensor:
    mean, std = (torch.tensor(value).view(3, 1, 1) * 255 for value in (_MEAN, _STD))
    return (images.float() - mean) / std


def _augmented(images: Tensor, crop) -> Tensor:
    size = images.shape[-1]
    crop = min(crop, size)
    y, x = (int(torch.randint(size - crop + 1, ())) for _ in range(2))
    cut = images[..., y : y + crop, x : x + crop]
    if torch.rand(()) < 0.5:
        cut = cut.flip(3)
    return cut.contiguous(memory_format=torch.channels_last)


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Seed torch and fix its threads, and put both back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(_THREADS)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
