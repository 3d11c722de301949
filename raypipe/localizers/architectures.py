"""Which layers of which network: one row a family.

`trunk` is the last convolutional map, `head` the last linear layer, `mid` the mid-level layer whose
cells become regions: the last one at stride 16, the counterpart of ResNet's `layer3`. At the
default input of 448 px its grid is 28×28. For ResNet-50 that choice is measured (the last block's
features made refinement worse than none); for the other families it is the same rule, unmeasured.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from raypipe.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

INPUT_SIZE = 448
"""Default input, pixels: twice the usual 224, so that the grid is fine enough for small objects."""


@dataclass(frozen=True)
class Family:
    """A family of networks with the same layer names.

    Attributes:
        prefixes: Starts of the architecture names it covers; the longest start wins.
        trunk: Module whose output is the last convolutional map.
        head: Last linear layer.
        mid: Mid-level layer for the regions.
        pooled: The head sits directly on the globally averaged trunk, so plain CAM is exact.
        input_size: Default input, pixels.
        build: Further arguments of torchvision's builder.
    """

    prefixes: tuple[str, ...]
    trunk: str
    head: str
    mid: str
    pooled: bool = True
    input_size: int = INPUT_SIZE
    build: dict[str, Any] = field(default_factory=dict)


# GoogLeNet and Inception hold their own input scaling and auxiliary heads in the published weights.
_INCEPTION = {"aux_logits": True, "init_weights": False, "transform_input": True}

FAMILIES = (
    Family(("resnet", "resnext", "wide_resnet"), "layer4", "fc", "layer3"),
    Family(("mobilenet_v2",), "features", "classifier.1", "features.13"),
    Family(("googlenet",), "inception5b", "fc", "inception4e", build=_INCEPTION),
    Family(("inception_v3",), "Mixed_7c", "fc", "Mixed_6e", build=_INCEPTION),
    Family(("regnet",), "trunk_output", "fc", "trunk_output.block3"),
    # DenseNet applies its last ReLU in place, so the trunk's output is rectified when it is read.
    Family(("densenet",), "features", "classifier", "features.denseblock3"),
    Family(("efficientnet",), "features", "classifier.1", "features.5"),
    Family(("mnasnet",), "layers", "classifier.1", "layers.11"),
    Family(("shufflenet",), "conv5", "fc", "stage3"),
    Family(("toynet",), "trunk", "head", "mid", input_size=160),
    # No linear layer directly on the pooled trunk: Grad-CAM only.
    Family(("mobilenet_v3_large",), "features", "classifier.3", "features.12", pooled=False),
    Family(("mobilenet_v3_small",), "features", "classifier.3", "features.8", pooled=False),
    Family(("convnext",), "features", "classifier.2", "features.5", pooled=False),
    Family(("alexnet",), "features.11", "classifier.6", "features.7", pooled=False),
    # VGG: last convolution's ReLU, and the pooling before the last stage.
    Family(("vgg11",), "features.19", "classifier.6", "features.15", pooled=False),
    Family(("vgg11_bn",), "features.27", "classifier.6", "features.21", pooled=False),
    Family(("vgg13",), "features.23", "classifier.6", "features.19", pooled=False),
    Family(("vgg13_bn",), "features.33", "classifier.6", "features.27", pooled=False),
    Family(("vgg16",), "features.29", "classifier.6", "features.23", pooled=False),
    Family(("vgg16_bn",), "features.42", "classifier.6", "features.33", pooled=False),
    Family(("vgg19",), "features.35", "classifier.6", "features.27", pooled=False),
    Family(("vgg19_bn",), "features.51", "classifier.6", "features.39", pooled=False),
)


def family_of(architecture: str) -> Family:
    """Return the family of an architecture.

    Raises:
        ConfigError: If torchvision has no such network, or no family covers it.
    """
    found = [
        (len(prefix), family)
        for family in FAMILIES
        for prefix in family.prefixes
        if architecture.startswith(prefix)
    ]
    if not found or (architecture != "toynet" and architecture not in _published()):
        raise ConfigError(f"unknown architecture {architecture!r}", _hint(architecture))
    return max(found, key=lambda pair: pair[0])[1]


def build(architecture: str, outputs: int) -> nn.Module:
    """Build a network with fresh weights.

    Args:
        architecture: A torchvision name, or `toynet`.
        outputs: Outputs of its last layer.

    Raises:
        ConfigError: If there is no such network.
    """
    family = family_of(architecture)
    if architecture == "toynet":
        from raypipe.localizers.toynet import ToyNet

        return ToyNet(outputs)
    from torchvision import models

    made = models.get_model(architecture, weights=None, num_classes=outputs, **family.build)
    return cast("nn.Module", made)


def _published() -> list[str]:
    """Return the names that torchvision knows; importing it takes seconds."""
    from torchvision import models

    return cast("list[str]", models.list_models(models))


def _hint(architecture: str) -> str:
    prefixes = tuple(prefix for family in FAMILIES for prefix in family.prefixes)
    known = [name for name in _published() if name.startswith(prefixes)]
    near = difflib.get_close_matches(architecture, known, n=3)
    return f"did you mean {', '.join(near)}?" if near else f"known are: {', '.join(prefixes)} …"
