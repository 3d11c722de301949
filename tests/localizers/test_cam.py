"""The two localizers against the formulas of their papers, on ResNet-18 in float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raypipe.datasets.base import ClassRecord
from raypipe.errors import ConfigError
from raypipe.localizers.base import Head
from raypipe.localizers.cam import Cam
from raypipe.localizers.gradcam import GradCam
from raypipe.localizers.network import network_dtype

KINDS = pytest.mark.parametrize("kind", [Cam, GradCam])


def bilinear(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """Interpolate cell by cell, cell centres at half numbers."""
    out = np.empty((height, width))
    for row in range(height):
        for col in range(width):
            y = np.clip((row + 0.5) * grid.shape[0] / height - 0.5, 0, grid.shape[0] - 1)
            x = np.clip((col + 0.5) * grid.shape[1] / width - 0.5, 0, grid.shape[1] - 1)
            top, left = int(y), int(x)
            low, right = min(top + 1, grid.shape[0] - 1), min(left + 1, grid.shape[1] - 1)
            upper = grid[top, left] * (1 - (x - left)) + grid[top, right] * (x - left)
            lower = grid[low, left] * (1 - (x - left)) + grid[low, right] * (x - left)
            out[row, col] = upper * (1 - (y - top)) + lower * (y - top)
    return out


def layers(config, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Run torchvision's own network step by step: layer3, layer4, and the last layer's weights."""
    from torchvision import models

    model = models.resnet18(num_classes=10)
    model.load_state_dict(torch.load(config.weights))
    model.eval()
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    batch = torch.from_numpy((pixels / 255 - mean) / std).float().permute(0, 3, 1, 2)
    with torch.inference_mode():
        x = model.maxpool(model.relu(model.bn1(model.conv1(batch))))
        mid = model.layer3(model.layer2(model.layer1(x)))
        trunk = model.layer4(mid)
    return mid.numpy(), trunk.numpy(), model.fc.weight.detach().numpy()


def test_cam_is_the_papers_formula(network, classes, pixels) -> None:
    config, images = network(), pixels(2)
    pairs = [(1, 4), (0, 2), (1, 0)]
    result = Cam(config, classes, None).localize(images, pairs)
    mid, trunk, weight = layers(config, images)
    np.testing.assert_allclose(result.features, mid, rtol=1e-3, atol=1e-4)
    for found, (image, name) in zip(result.maps.numpy(), pairs, strict=True):
        naive = sum(weight[name, k] * trunk[image, k] for k in range(trunk.shape[1]))
        np.testing.assert_allclose(found, bilinear(naive, 6, 6), rtol=1e-3, atol=1e-4)


def test_the_class_list_chooses_rows(network, pixels) -> None:
    images = pixels(2)
    whole = Cam(network(), [ClassRecord(f"class{at}") for at in range(10)], None)
    part = Cam(network(), [ClassRecord("class7"), ClassRecord("class2")], None)
    assert part.classes == ("class7", "class2")
    torch.testing.assert_close(
        part.localize(images, [(0, 0), (1, 1)]).maps, whole.localize(images, [(0, 7), (1, 2)]).maps
    )
    scores = whole.localize(images, []).scores
    torch.testing.assert_close(part.localize(images, []).scores, scores[:, [7, 2]])


@KINDS
def test_several_classes_an_image_are_as_one_at_a_time(kind, network, classes, pixels) -> None:
    localizer, images = kind(network(), classes, None), pixels(3)
    pairs = [(2, 1), (0, 5), (2, 0), (2, 9), (0, 5), (1, 3), (0, 1)]
    together = localizer.localize(images, pairs)
    for found, pair in zip(together.maps, pairs, strict=True):
        alone = localizer.localize(images, [pair])
        torch.testing.assert_close(found, alone.maps[0], rtol=1e-4, atol=1e-6)
        own = localizer.localize(images[pair[0] : pair[0] + 1], [(0, pair[1])])
        torch.testing.assert_close(found, own.maps[0], rtol=1e-3, atol=1e-5)


@KINDS
def test_no_pairs_give_no_maps_but_scores(kind, network, classes, pixels) -> None:
    result = kind(network(), classes, None).localize(pixels(2), [])
    assert result.maps.shape == (0, 6, 6)
    assert result.scores.shape == (2, 10)


def test_the_mean_of_a_cam_and_the_bias_give_the_score(network, classes, pixels) -> None:
    localizer = Cam(network(layer="layer4"), classes, None)
    result = localizer.localize(pixels(1), [(0, name) for name in range(10)])
    scores = result.maps.mean(dim=(1, 2)) + localizer._net.bias
    torch.testing.assert_close(scores, result.scores[0], rtol=1e-3, atol=1e-4)


def test_a_fitted_row_wins_over_the_networks_own(network, pixels) -> None:
    generator = np.random.default_rng(0)
    weight = generator.normal(size=(2, 512)).astype(np.float32)
    head = Head(("new", "class3"), weight, np.array([0.5, -1], np.float32))
    records = [ClassRecord("class1"), ClassRecord("class3"), ClassRecord("new")]
    config, images = network(), pixels(1)
    localizer = Cam(config, records, head)
    result = localizer.localize(images, [(0, 0), (0, 1), (0, 2)])
    _, trunk, own = layers(config, images)
    for found, row in zip(result.maps.numpy(), (own[1], weight[1], weight[0]), strict=True):
        naive = bilinear(np.tensordot(row, trunk[0], 1), 6, 6)
        np.testing.assert_allclose(found, naive, rtol=1e-3, atol=1e-3)
    pooled = localizer.embed(images)
    np.testing.assert_allclose(pooled, trunk.mean(axis=(2, 3)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(result.scores[0, 2], pooled[0] @ weight[0] + 0.5, rtol=1e-3)


def test_a_head_of_another_network_is_refused(network) -> None:
    head = Head(("new",), np.zeros((1, 2048), np.float32), np.zeros(1, np.float32))
    with pytest.raises(ConfigError, match="2048 features, resnet18 has 512") as caught:
        Cam(network(), [ClassRecord("new")], head)
    assert "fit" in caught.value.remedy


def test_a_class_that_nobody_knows_names_fit(network) -> None:
    records = [ClassRecord("class1"), *(ClassRecord(f"x{at}") for at in range(7))]
    with pytest.raises(
        ConfigError, match="resnet18 does not know x0, x1, x2, x3, x4 and 2 more"
    ) as no:
        Cam(network(), records, None)
    assert "raypipe fit" in no.value.remedy


def test_embedding_needs_no_classes(network, pixels) -> None:
    embedded = Cam(network(), [], None).embed(pixels(3))
    assert embedded.shape == (3, 512)
    assert embedded.dtype == np.float32


def test_an_unknown_layer_names_the_top_ones(network, classes) -> None:
    with pytest.raises(ConfigError, match="resnet18 has no layer 'layer9'") as caught:
        Cam(network(layer="layer9"), classes, None)
    assert "layer3" in caught.value.remedy


def test_another_layer_gives_another_grid(network, classes, pixels) -> None:
    result = Cam(network(layer="layer2"), classes, None).localize(pixels(1), [(0, 0)])
    assert result.features.shape == (1, 128, 12, 12)
    assert result.maps.shape == (1, 12, 12)


def test_the_input_size_is_the_familys_unless_given(network, classes) -> None:
    assert Cam(network(), classes, None).input_size == 96
    assert Cam(network(input_size=0), classes, None).input_size == 448


def test_hooks_are_gone_after_an_error(network, classes) -> None:
    net = Cam(network(), classes, None)._net
    with pytest.raises(RuntimeError):
        net.forward(torch.zeros(1, 5, 96, 96))
    for layer in (net.trunk, net.mid, net.head):
        assert not layer._forward_hooks
        assert not layer._forward_pre_hooks


def test_localizing_leaves_no_gradients_behind(network, classes, pixels) -> None:
    localizer = GradCam(network(), classes, None)
    first = localizer.localize(pixels(2), [(0, 1), (1, 2)])
    assert all(parameter.grad is None for parameter in localizer._net.network.parameters())
    torch.testing.assert_close(localizer.localize(pixels(2), [(0, 1), (1, 2)]).maps, first.maps)


@KINDS
def test_bfloat16_is_near_float32(kind, network, classes, pixels) -> None:
    pairs = [(0, 1), (1, 2)]
    exact = kind(network(), classes, None).localize(pixels(2), pairs)
    rough = kind(network(precision="bfloat16"), classes, None).localize(pixels(2), pairs)
    assert rough.maps.dtype == rough.scores.dtype == torch.float32
    assert rough.features.dtype == torch.bfloat16, "they are large: the caller takes what it needs"
    both = torch.stack([exact.maps.flatten(), rough.maps.flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.99
    assert not torch.equal(exact.maps, rough.maps)


def test_precisions() -> None:
    cpu = torch.device("cpu")
    assert network_dtype("float32", cpu) is torch.float32
    assert network_dtype("bfloat16", cpu) is torch.bfloat16
    assert network_dtype("auto", cpu) in {torch.float32, torch.bfloat16}
