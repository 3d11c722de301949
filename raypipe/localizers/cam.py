"""Class activation maps: Zhou et al., CVPR 2016 (arXiv 1512.04150)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from raypipe.config import LocalizerConfig
from raypipe.datasets.base import ClassRecord
from raypipe.errors import ConfigError
from raypipe.localizers.base import Head, Localization, Pair
from raypipe.localizers.network import Classifier, resized


class Cam:
    """CAM for networks that end in global average pooling and one linear layer.

    The map of class c at cell u is w_c · f(u), with f the last convolutional map and w_c the
    linear layer's row; the bias is left out, as in the paper. It is interpolated bilinearly to
    the grid of the mid-level features.

    Args:
        config: Architecture, weights, input size, layer and precision.
        classes: The dataset's classes.
        head: Fitted rows for classes; they win over the network's own.

    Raises:
        ConfigError: If the network has another ending, or a class is known to nobody.
    """

    def __init__(
        self, config: LocalizerConfig, classes: Sequence[ClassRecord], head: Head | None
    ) -> None:
        self._net = Classifier(config, classes, head)
        if not self._net.family.pooled:
            raise ConfigError(
                f"{config.architecture} does not end in pooling and one linear layer",
                "use --localizer gradcam",
            )

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
        with torch.inference_mode():
            trunk, mid, embedding = self._net.forward(self._net.prepared(pixels))
            images = torch.tensor([image for image, _ in pairs], dtype=torch.long)
            classes = torch.tensor([name for _, name in pairs], dtype=torch.long)
            weight = self._net.weight[classes.to(trunk.device)]
            maps = torch.einsum("pd,pdhw->phw", weight, trunk[images.to(trunk.device)].float())
            return Localization(
                maps=resized(maps, (mid.shape[-2], mid.shape[-1])),
                features=mid,
                scores=self._net.scores(embedding),
            )

    def embed(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return (B, d) float32: the globally averaged trunk map."""
        return self._net.embed(pixels)
