"""What all classifier localizers share: the network, its hooks, its device and its precision."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from raypipe.config import LocalizerConfig
from raypipe.datasets.base import ClassRecord
from raypipe.errors import ConfigError
from raypipe.localizers.architectures import family_of
from raypipe.localizers.base import Head
from raypipe.localizers.classes import network_outputs, refuse_unknown
from raypipe.localizers.folding import fold_batch_norms
from raypipe.localizers.weights import load

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class Classifier:
    """A pretrained classifier with the layers that localizers look at.

    Args:
        config: Architecture, weights, input size, layer and precision.
        classes: The dataset's classes; empty if only `embed` will be used.
        head: Fitted rows for classes; they win over the network's own.

    Attributes:
        classes: Names of the classes, in the given order.
        input_size: Width and height of the input, pixels.
        weight: (n, d) float32 on the device: the last layer's row of each class.
        bias: (n,) float32.

    Raises:
        ConfigError: If a layer is unknown, or a class is known to nobody.
    """

    def __init__(
        self, config: LocalizerConfig, classes: Sequence[ClassRecord], head: Head | None
    ) -> None:
        self.family = family_of(config.architecture)
        self.classes = tuple(item.name for item in classes)
        self.input_size = config.input_size or self.family.input_size
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = network_dtype(config.precision, self.device)
        pretrained = load(config)
        names = (self.family.trunk, config.layer or self.family.mid, self.family.head)
        for name in names:
            _layer(pretrained.network, name, config.architecture)
        network = pretrained.network.requires_grad_(requires_grad=False)
        self.network = fold_batch_norms(network, keep=names)
        self.trunk, self.mid, last = (network.get_submodule(name) for name in names)
        self.head = cast("nn.Linear", last)
        self.weight, self.bias = self._rows(config, classes, head, pretrained.classes)
        self.network.to(self.device, self.dtype).to(memory_format=torch.channels_last)
        self._lock = threading.Lock()  # hooks see every forward pass, so one at a time
        shape = (1, 3, 1, 1)
        mean, std = torch.tensor(_MEAN), torch.tensor(_STD)
        self._scale = (1 / (255 * std)).view(shape).to(self.device)
        self._shift = (-mean / std).view(shape).to(self.device)

    def _rows(
        self,
        config: LocalizerConfig,
        classes: Sequence[ClassRecord],
        head: Head | None,
        network: tuple[str, ...],
    ) -> tuple[Tensor, Tensor]:
        """Return the last layer's weight and bias for each class."""
        outputs = network_outputs(config, classes, network)
        fitted = {name: at for at, name in enumerate(head.classes)} if head else {}
        refuse_unknown(classes, [*outputs, *fitted], config.architecture)
        weights, biases = [], []
        for name in self.classes:
            if head is not None and name in fitted:
                weights.append(torch.from_numpy(head.weight[fitted[name]].copy()))
                biases.append(torch.tensor(float(head.bias[fitted[name]])))
            else:
                weights.append(self.head.weight[outputs[name]].float().cpu())
                biases.append(self.head.bias[outputs[name]].float().cpu())
        if not weights:
            return torch.empty(0), torch.empty(0)
        width = self.head.weight.shape[1]
        if any(len(row) != width for row in weights):
            raise ConfigError(
                f"the fitted head is for another network ({len(weights[0])} features, "
                f"{config.architecture} has {width})",
                "run `raypipe fit` again",
            )
        return torch.stack(weights).to(self.device), torch.stack(biases).to(self.device)

    def prepared(self, pixels: npt.NDArray[np.uint8]) -> Tensor:
        """Return (B, 3, S, S), normalised, channels last, in the network's precision and place."""
        batch = torch.from_numpy(np.ascontiguousarray(pixels))
        if self.device.type == "cuda":
            # Pinned memory is copied while the GPU computes.
            batch = batch.pin_memory().to(self.device, non_blocking=True)
        # A permuted NHWC tensor is channels-last already: no copy.
        return batch.permute(0, 3, 1, 2).float().mul_(self._scale).add_(self._shift).to(self.dtype)

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the network once.

        Returns:
            Trunk map (B, D, h, w) as the pooling sees it, mid-level map (B, d, h', w'), and the
            head's input (B, D').
        """
        seen: dict[str, Tensor] = {}
        with self._lock, self._watching(seen):
            self.network(batch)
        return seen["trunk"], seen["mid"], seen["embedding"]

    @contextmanager
    def _watching(self, seen: dict[str, Tensor]) -> Iterator[None]:
        """Collect the layers' outputs while the context is open; hooks go whatever happens."""

        def keep(name: str) -> object:
            def hook(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
                seen[name] = output

            return hook

        def keep_input(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen["embedding"] = inputs[0]

        handles = [
            self.trunk.register_forward_hook(keep("trunk")),  # type: ignore[arg-type]
            self.mid.register_forward_hook(keep("mid")),  # type: ignore[arg-type]
            self.head.register_forward_pre_hook(keep_input),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def scores(self, embedding: Tensor) -> Tensor:
        """Return (B, n) float32 image-level scores of the classes."""
        return embedding.float() @ self.weight.T + self.bias

    def embed(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return (B, D') float32: the input of the network's last linear layer."""
        with torch.inference_mode():
            embedding = self.forward(self.prepared(pixels))[2]
        return embedding.float().cpu().numpy()


def network_dtype(precision: str, device: torch.device) -> torch.dtype:
    """Return the type of weights and activations.

    `auto` is bfloat16 where the hardware multiplies it: AVX512-BF16 or AMX, Ampere and newer.
    Converting the weights once is a tenth to a fifth faster than autocast, which converts them in
    each pass.
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    if device.type == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # torch has no public name for the second.
        has_bf16 = (
            "AVX512" in torch.backends.cpu.get_cpu_capability()
            and torch.cpu._is_avx512_bf16_supported()  # noqa: SLF001
        )
    return torch.bfloat16 if has_bf16 else torch.float32


def default_batch(input_size: int) -> int:
    """Return how many images to put through a network at once.

    On a CPU the activations should stay in its caches: 8 images at 224 px, 2 at 448, measured
    with ResNet-50 a tenth to a third faster than 32. A GPU needs enough to fill it.
    """
    if torch.cuda.is_available():
        return 64
    return max(1, round(8 * (224 / input_size) ** 2))


def resized(grid: Tensor, size: tuple[int, int]) -> Tensor:
    """Interpolate (n, h, w) maps bilinearly to another grid."""
    if tuple(grid.shape[-2:]) == size:
        return grid
    return nn.functional.interpolate(grid[:, None], size, mode="bilinear", align_corners=False)[
        :, 0
    ]


def _layer(network: nn.Module, name: str, architecture: str) -> nn.Module:
    try:
        return network.get_submodule(name)
    except AttributeError:
        top = ", ".join(child for child, _ in network.named_children())
        raise ConfigError(
            f"{architecture} has no layer {name!r}",
            f"--layer is a module's dotted name; at the top there are {top}",
        ) from None
