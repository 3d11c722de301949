"""Every family of networks: the layers are where the table says, and CAM is what it claims."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raypipe.errors import ConfigError
from raypipe.localizers.architectures import FAMILIES, build, family_of
from raypipe.localizers.cam import Cam
from raypipe.localizers.gradcam import GradCam

SMALLEST = {
    "resnet": "resnet18",
    "mobilenet_v2": "mobilenet_v2",
    "googlenet": "googlenet",
    "inception_v3": "inception_v3",
    "regnet": "regnet_y_400mf",
    "densenet": "densenet121",
    "efficientnet": "efficientnet_b0",
    "mnasnet": "mnasnet0_5",
    "shufflenet": "shufflenet_v2_x0_5",
    "toynet": "toynet",
    "mobilenet_v3_large": "mobilenet_v3_large",
    "mobilenet_v3_small": "mobilenet_v3_small",
    "convnext": "convnext_tiny",
    "alexnet": "alexnet",
} | {name: name for depth in (11, 13, 16, 19) for name in (f"vgg{depth}", f"vgg{depth}_bn")}
STRIDES = {"toynet": 8}
POOLED = [SMALLEST[family.prefixes[0]] for family in FAMILIES if family.pooled]
OTHERS = [SMALLEST[family.prefixes[0]] for family in FAMILIES if not family.pooled]


def test_every_family_is_tested() -> None:
    assert set(SMALLEST) == {family.prefixes[0] for family in FAMILIES}
    for prefix, architecture in SMALLEST.items():
        assert family_of(architecture).prefixes[0] == prefix


def size_of(architecture: str) -> int:
    return 128 if architecture == "inception_v3" else 96  # it needs 75 to leave any cell


def check(result, localizer, images, architecture: str) -> None:
    """Check that maps and features lie on one fine grid, and scores are the network's own."""
    side = size_of(architecture) / STRIDES.get(architecture, 16)
    count, height, width = result.maps.shape
    assert count == len(PAIRS)
    assert result.features.shape[0] == 2
    assert result.features.shape[2:] == (height, width)
    assert abs(height - side) <= 2
    assert height == width
    for values in (result.maps, result.features, result.scores):
        assert values.dtype == torch.float32
        assert torch.isfinite(values).all()
        assert values.std() > 0, "a dead network would prove nothing"
        assert not values.requires_grad
    net = localizer._net
    with torch.inference_mode():
        logits = net.network(net.prepared(images))
    torch.testing.assert_close(result.scores, logits, rtol=1e-3, atol=1e-3)


PAIRS = [(0, 0), (0, 3), (1, 1)]


@pytest.mark.parametrize("architecture", POOLED)
def test_cam_and_grad_cam_agree_where_the_head_sits_on_the_pooled_trunk(
    architecture, network, classes, pixels
) -> None:
    """d(w · mean f) / df = w / (h w): Selvaraju et al., ICCV 2017, section 3.1."""
    size = size_of(architecture)
    config, images = network(architecture, input_size=size), pixels(2, size)
    cam, grad = (kind(config, classes, None) for kind in (Cam, GradCam))
    maps, other = (localizer.localize(images, PAIRS) for localizer in (cam, grad))
    check(maps, cam, images, architecture)
    cells = grad._net.forward(grad._net.prepared(images))[0].shape[-2:].numel()
    scale = float(maps.maps.abs().max())
    np.testing.assert_allclose(other.maps * cells, maps.maps, atol=1e-4 * scale, rtol=1e-3)
    torch.testing.assert_close(other.scores, maps.scores, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(other.features, maps.features, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", OTHERS)
def test_grad_cam_serves_every_other_ending(architecture, network, classes, pixels) -> None:
    size = size_of(architecture)
    images = pixels(2, size)
    localizer = GradCam(network(architecture, input_size=size), classes, None)
    check(localizer.localize(images, PAIRS), localizer, images, architecture)
    embedding = localizer.embed(images)
    assert embedding.shape == (2, localizer._net.head.in_features)


def test_cam_refuses_other_endings(network, classes) -> None:
    with pytest.raises(ConfigError, match="does not end in pooling") as caught:
        Cam(network("mobilenet_v3_small"), classes, None)
    assert caught.value.remedy == "use --localizer gradcam"


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("resnet50", "resnet"), ("wide_resnet50_2", "resnet"), ("resnext50_32x4d", "resnet"),
     ("efficientnet_v2_s", "efficientnet"), ("mobilenet_v3_large", "mobilenet_v3_large"),
     ("vgg16", "vgg16"), ("vgg16_bn", "vgg16_bn"), ("regnet_x_8gf", "regnet")],
)  # fmt: skip
def test_the_longest_prefix_wins(name, prefix) -> None:
    assert prefix in family_of(name).prefixes


@pytest.mark.parametrize(
    ("name", "hint"),
    [("resnet5", "resnet50"), ("vit_b_16", "known are: resnet"), ("", "known are"),
     ("resnet51", "resnet50"), ("mobilenet_v2_tiny", "mobilenet_v2")],
)  # fmt: skip
def test_an_unknown_network_is_named_with_a_hint(name, hint) -> None:
    with pytest.raises(ConfigError, match=f"unknown architecture '{name}'") as caught:
        build(name, 10)
    assert hint in caught.value.remedy
