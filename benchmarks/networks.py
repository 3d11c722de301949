"""The networks of the contenders: raypipe's own, and what a plain script makes of torchvision's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torchvision import models

from benchmarks.measure import Task
from raypipe.config import LocalizerConfig
from raypipe.localizers.architectures import family_of
from raypipe.localizers.network import Classifier, network_dtype

Maps = npt.NDArray[np.float16]

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_THRESHOLD, _DIMENSIONS = 0.2, 256  # as raypipe's defaults


def dtype() -> torch.dtype:
    """Return the precision that raypipe chooses, which all contenders use."""
    return network_dtype("auto", torch.device("cpu"))


def raypipe_network(task: Task) -> Classifier:
    """Return the network as raypipe's actors run it: batch norms folded, channels last."""
    config = LocalizerConfig(
        architecture=task.network, weights=task.weights, input_size=task.input_size
    )
    return Classifier(config, (), None)


def torchvision_network(task: Task, precision: torch.dtype) -> nn.Module:
    """Return torchvision's network, channels last, with nothing folded."""
    network: nn.Module = models.get_model(task.network, weights=None)
    network.load_state_dict(torch.load(task.weights, weights_only=True))
    return network.eval().to(precision).to(memory_format=torch.channels_last)


class HookedCam:
    """Class activation maps and features as a careful plain script takes them, with two hooks.

    What comes back is what raypipe keeps of an image, less its bank of background cells: the map,
    and the features of the foreground cells in a random projection. So all write about as much.

    Args:
        task: Network, weights and input size.
    """

    def __init__(self, task: Task) -> None:
        family = family_of(task.network)
        self._dtype = dtype()
        self._network = torchvision_network(task, self._dtype)
        self._seen: dict[str, Tensor] = {}
        for name in (family.trunk, family.mid):
            self._network.get_submodule(name).register_forward_hook(self._keep(name))
        self._trunk, self._mid = family.trunk, family.mid
        head = self._network.get_parameter(f"{family.head}.weight")
        self._weight = head.detach().float()
        self._mean = torch.tensor(MEAN).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(STD).view(1, 3, 1, 1) * 255
        self._directions: Tensor | None = None

    def _keep(self, name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            self._seen[name] = output

        return hook

    def __call__(self, pixels: Tensor, labels: Sequence[int]) -> tuple[Maps, list[Maps]]:
        """Return maps and features of a batch.

        Args:
            pixels: (B, 3, S, S) uint8.
            labels: The network's output to look for in each image.

        Returns:
            (B, h, w) float16 maps in 0..1, and for each image (n, 256) float16 features.
        """
        with torch.inference_mode():
            batch = pixels.contiguous(memory_format=torch.channels_last)
            self._network(((batch - self._mean) / self._std).to(self._dtype))
            trunk, mid = self._seen[self._trunk], self._seen[self._mid]
            maps = torch.einsum("bd,bdhw->bhw", self._weight[list(labels)], trunk.float())
            maps = nn.functional.interpolate(maps[:, None], mid.shape[-2:], mode="bilinear")[:, 0]
            maps = maps.clamp(min=0)
            maps = maps / maps.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
            chosen = maps > _THRESHOLD
            features = mid.permute(0, 2, 3, 1)[chosen].float() @ self._projection(mid.shape[1])
            sizes = chosen.sum(dim=(1, 2)).tolist()
            rows = np.split(features.half().numpy(), np.cumsum(sizes)[:-1])
            return maps.half().numpy(), rows

    def _projection(self, width: int) -> Tensor:
        """Return (width, 256) random directions."""
        if self._directions is None:
            generator = torch.Generator().manual_seed(0)
            self._directions = torch.randn(width, _DIMENSIONS, generator=generator)
        return self._directions
