"""A folded network computes what it computed before, with fewer layers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from raypipe.localizers.architectures import build, family_of
from raypipe.localizers.folding import fold_batch_norms
from tests.localizers.conftest import OUTPUTS, random_state


def random_network(architecture: str) -> nn.Module:
    network = build(architecture, OUTPUTS)
    network.load_state_dict(random_state(architecture))
    return network.eval()


def outputs(network: nn.Module, layers: list[str]) -> list[Tensor]:
    """Return what layers and network give for two images."""
    seen = []
    handles = [
        network.get_submodule(name).register_forward_hook(lambda *call: seen.append(call[2]))
        for name in layers
    ]
    with torch.inference_mode():
        images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        result = network(images.double())
    for handle in handles:
        handle.remove()
    assert len(seen) == len(layers)
    return [*seen, result]


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def check(network: nn.Module, keep: list[str]) -> nn.Module:
    """Fold a copy, and check that it gives the same at the layers to keep and at the end.

    In double precision: float32 rounds the 52 folded layers of MobileNetV2 to 4e-5 of the peak.
    """
    network = network.double()
    folded = fold_batch_norms(copy.deepcopy(network), keep)
    for before, after in zip(outputs(network, keep), outputs(folded, keep), strict=True):
        assert before.std() > 0, "a dead network would prove nothing"
        torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-9)
    return folded


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v2"])
def test_a_folded_network_is_the_same_network(architecture) -> None:
    family = family_of(architecture)
    network = random_network(architecture)
    assert norms(network) > 19
    assert norms(check(network, [family.mid, family.trunk, family.head])) == 0


@pytest.mark.parametrize(
    ("layer", "left"),
    [("conv1", 1), ("bn1", 0), ("layer2.0.conv2", 1), ("layer2.0.bn2", 0), ("layer2.0", 0)],
)
def test_a_layer_that_somebody_looks_at_gives_what_it_gave(layer, left) -> None:
    assert norms(check(random_network("resnet18"), [layer])) == left


class Tiny(nn.Module):
    """A convolution and a batch norm that cannot become one."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.conv, self.other = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(2))
        self.norm, self.second = (nn.BatchNorm2d(3) for _ in range(2))
        self.alias = self.conv
        for norm in (self.norm, self.second):
            nn.init.uniform_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)

    def forward(self, images: Tensor) -> Tensor:
        found = self.conv(images)
        if self.how == "used twice":
            return self.norm(found) + found
        if self.how == "two norms":
            return self.norm(found) + self.second(self.conv(images))
        if self.how == "two convolutions":
            return self.norm(found) + self.norm(self.other(images))
        if self.how == "two names":
            return self.norm(found) + self.second(self.alias(images))
        if self.how == "norm first":
            return self.conv(self.norm(images))
        return self.norm(found.relu())


@pytest.mark.parametrize(
    "how", ["used twice", "two norms", "two convolutions", "two names", "norm first", "between"]
)
def test_what_cannot_be_folded_stays(how) -> None:
    torch.manual_seed(0)
    network = Tiny(how).eval()
    assert norms(check(network, [])) == norms(network)


class Branching(nn.Module):
    """What it does depends on what it sees, so that no graph can be drawn of it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        nn.init.uniform_(self.norm.running_mean)

    def forward(self, images: Tensor) -> Tensor:
        found = self.norm(self.conv(images))
        return found if images.mean() > 0 else -found


def test_a_network_that_cannot_be_traced_stays_as_it_is() -> None:
    network = Branching().eval()
    before = copy.deepcopy(network.state_dict())
    assert fold_batch_norms(network) is network
    assert norms(network) == 1
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
