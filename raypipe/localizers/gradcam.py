"""Grad-CAM: Selvaraju et al., ICCV 2017 (arXiv 1610.02391)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raypipe.config import LocalizerConfig
from raypipe.datasets.base import ClassRecord
from raypipe.localizers.base import Head, Localization, Pair
from raypipe.localizers.network import Classifier, resized


class GradCam:
    """Grad-CAM on the last convolutional map, for networks with any ending (VGG, AlexNet …).

    The map of class c at cell u is Σ_k a_ck f_k(u) with a_ck the gradient of the class's score
    averaged over the cells; negative values are left in, the caller cuts them.

    Args:
        config: Architecture, weights, input size, layer and precision.
        classes: The dataset's classes.
        head: Fitted rows for classes; they win over the network's own.

    Raises:
        ConfigError: If a layer is unknown, or a class is known to nobody.
    """

    def __init__(
        self, config: LocalizerConfig, classes: Sequence[ClassRecord], head: Head | None
    ) -> None:
        self._net = Classifier(config, classes, head)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes it can be asked for."""
        return self._net.classes

    @property
    def input_size(self) -> int:
        """Width and height of its square input, pixels."""
        return self._net.input_size

    def localize(self, pixels: npt.NDArray[np.uint8], pairs: Sequence[Pair]) -> Localization:
        """Return maps and features of a batch; see `Localizer.localize`."""
        with torch.enable_grad():
            # The weights are frozen: the graph hangs on the input.
            batch = self._net.prepared(pixels).requires_grad_()
            trunk, mid, embedding = self._net.forward(batch)
            scores = self._net.scores(embedding)
            weights = _pair_weights(scores, trunk, pairs)
        images = torch.tensor([image for image, _ in pairs], dtype=torch.long, device=trunk.device)
        maps = torch.einsum("pd,pdhw->phw", weights, trunk.detach()[images].float())
        return Localization(
            maps=resized(maps, (mid.shape[-2], mid.shape[-1])),
            features=mid.detach(),
            scores=scores.detach(),
        )

    def embed(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return (B, d) float32: the input of the last linear layer."""
        return self._net.embed(pixels)


def _pair_weights(scores: Tensor, trunk: Tensor, pairs: Sequence[Pair]) -> Tensor:
    """Return (P, D): for each pair, the score's gradient averaged over the trunk's cells.

    Images do not touch each other, so one backward pass serves one class of every image.
    """
    weights = torch.zeros(len(pairs), trunk.shape[1], device=trunk.device)
    rounds: dict[int, list[int]] = defaultdict(list)
    seen: dict[int, int] = defaultdict(int)
    for position, (image, _) in enumerate(pairs):
        rounds[seen[image]].append(position)
        seen[image] += 1
    for number, positions in rounds.items():
        images = [pairs[position][0] for position in positions]
        chosen = scores[images, [pairs[position][1] for position in positions]].sum()
        (gradient,) = torch.autograd.grad(chosen, trunk, retain_graph=number + 1 < len(rounds))
        weights[positions] = gradient[images].float().mean(dim=(2, 3))
    return weights
