"""Weights from files and by name, and everything that may be wrong with them."""

from __future__ import annotations

import json
import os

import pytest
import torch
from safetensors.torch import save_file

from raypipe.config import LocalizerConfig
from raypipe.errors import ConfigError, InputError
from raypipe.localizers.architectures import build
from raypipe.localizers.weights import digest, is_file, load
from tests.localizers.conftest import NAMES, random_state


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return random_state("resnet18")


def config(path, **changes) -> LocalizerConfig:
    return LocalizerConfig(**{"architecture": "resnet18", "weights": str(path)} | changes)


def same(network: torch.nn.Module, state: dict[str, torch.Tensor]) -> bool:
    own = network.state_dict()
    return all(torch.equal(own[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize("wrap", ["plain", "checkpoint", "parallel"])
def test_a_pth_file(tmp_path, state, wrap) -> None:
    content = {
        "plain": state,
        "checkpoint": {"epoch": 3, "state_dict": state, "optimizer": {"lr": 0.1}},
        "parallel": {f"module.{name}": tensor for name, tensor in state.items()},
    }[wrap]
    torch.save(content, tmp_path / "w.pth")
    loaded = load(config(tmp_path / "w.pth"))
    assert same(loaded.network, state)
    assert not loaded.network.training
    assert loaded.classes == ()


def test_a_safetensors_file_names_its_classes(tmp_path, state) -> None:
    path = tmp_path / "w.safetensors"
    save_file(state, path, {"classes": json.dumps(NAMES)})
    loaded = load(config(path))
    assert same(loaded.network, state)
    assert loaded.classes == NAMES
    save_file(state, path)
    assert load(config(path)).classes == ()


def test_a_safetensors_file_by_uri(tmp_path, state) -> None:
    path = tmp_path / "two words.safetensors"
    save_file(state, path, {"classes": json.dumps(NAMES)})
    assert load(config(f"file://{tmp_path}/two%20words.safetensors")).classes == NAMES


def test_a_file_of_names_wins_and_must_fit(tmp_path, state) -> None:
    save_file(state, tmp_path / "w.safetensors", {"classes": json.dumps(NAMES)})
    names = tmp_path / "names.txt"
    names.write_text("\n".join("abcdefghij") + "\n\n")
    named = config(tmp_path / "w.safetensors", network_classes=str(names))
    assert load(named).classes == tuple("abcdefghij")
    names.write_text("a\nb\n")
    with pytest.raises(ConfigError, match="names 2 classes, the network has 10"):
        load(named)


def test_a_thousand_outputs_without_names_are_imagenets(tmp_path, state) -> None:
    wide = state | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    torch.save(wide, tmp_path / "w.pth")
    classes = load(config(tmp_path / "w.pth")).classes
    assert (len(classes), classes[0]) == (1000, "tench")


def test_auxiliary_heads_may_be_there_or_not(tmp_path) -> None:
    state = random_state("googlenet")
    assert any(name.startswith("aux1.") for name in state)
    without = {name: item for name, item in state.items() if not name.startswith("aux")}
    for content in (state, without):
        torch.save(content, tmp_path / "w.pth")
        loaded = load(config(tmp_path / "w.pth", architecture="googlenet"))
        assert same(loaded.network, without)


def test_the_versions_that_mnasnet_asks_for(tmp_path) -> None:
    state = random_state("mnasnet0_5")
    save_file(state, tmp_path / "w.safetensors")  # holds tensors and nothing else
    torch.save(build("mnasnet0_5", 10).state_dict(), tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        loaded = load(config(tmp_path / name, architecture="mnasnet0_5"))
        assert len(loaded.network.state_dict()) == len(state)


def test_weights_of_another_architecture_are_refused(tmp_path, state) -> None:
    torch.save(state, tmp_path / "w.pth")
    for other, reason in (("resnet34", "missing"), ("resnet50", "size mismatch"),
                          ("mobilenet_v2", r"it has no classifier\.1\.weight")):  # fmt: skip
        with pytest.raises(ConfigError, match=f"does not fit {other} .*{reason}") as caught:
            load(config(tmp_path / "w.pth", architecture=other))
        assert "--architecture" in caught.value.remedy
        assert "\n" not in caught.value.message


@pytest.mark.parametrize("change", ["missing head", "missing layer", "extra layer", "wrong shape"])
def test_weights_that_nearly_fit_are_refused(tmp_path, state, change) -> None:
    broken = dict(state)
    if change == "missing head":
        del broken["fc.weight"]
    elif change == "missing layer":
        del broken["layer3.0.conv1.weight"]
    elif change == "extra layer":
        broken["layer9.weight"] = torch.zeros(1)
    else:
        broken["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    torch.save(broken, tmp_path / "w.pth")
    with pytest.raises(ConfigError, match="does not fit resnet18"):
        load(config(tmp_path / "w.pth"))


@pytest.mark.parametrize(
    "content",
    [[1, 2], {"a": 1}, {"epoch": 1, "model": {"a": torch.zeros(1)}}, torch.zeros(3), "text",
     {1: torch.zeros(1)}],
)  # fmt: skip
def test_a_file_without_a_state_dict_is_refused(tmp_path, content) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(ConfigError, match=r"w\.pth: not a state dict") as caught:
        load(config(tmp_path / "w.pth"))
    assert caught.value.remedy == "save model.state_dict()"


class Evil:
    """Runs something when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path) -> None:
    torch.save({"fc.weight": Evil(str(tmp_path / "ran"))}, tmp_path / "w.pth")
    with pytest.raises(ConfigError, match="not a state dict of tensors") as caught:
        load(config(tmp_path / "w.pth"))
    assert "\n" not in caught.value.message
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "w.pth", weights_only=False)
    assert (tmp_path / "ran").exists(), "the file is as dangerous as it should be"


def test_a_whole_model_is_refused(tmp_path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "w.pth")
    with pytest.raises(ConfigError, match="not a state dict"):
        load(config(tmp_path / "w.pth"))


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"\x80\x02", b"\x00" * 64])
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_a_file_of_something_else_is_refused(tmp_path, ending, content) -> None:
    path = tmp_path / f"w.{ending}"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"w\.{ending}: not a"):
        load(config(path))


def test_a_missing_file_is_an_input_error(tmp_path) -> None:
    for call in (load, digest):
        with pytest.raises(InputError, match=r"no\.pth: not found"):
            call(config(tmp_path / "no.pth"))


@pytest.mark.parametrize("call", [load, digest])
def test_an_unknown_name_lists_the_known_ones(call) -> None:
    with pytest.raises(ConfigError, match="unknown weights 'IMAGENET' for resnet18") as caught:
        call(config("IMAGENET"))
    assert "IMAGENET1K_V1" in caught.value.remedy


@pytest.mark.parametrize("architecture", ["toynet", "resnet5"])
def test_a_network_without_published_weights_says_so(architecture) -> None:
    with pytest.raises(ConfigError, match="unknown weights") as caught:
        digest(config("DEFAULT", architecture=architecture))
    assert "known are: none" in caught.value.remedy


def test_the_digest_follows_content_not_path(tmp_path, state) -> None:
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).write_bytes(b"same")
    assert digest(config(tmp_path / "a.pth")) == digest(config(tmp_path / "b.pth"))
    (tmp_path / "b.pth").write_bytes(b"other")
    assert digest(config(tmp_path / "a.pth")) != digest(config(tmp_path / "b.pth"))


def test_the_digest_of_published_weights_is_their_full_name() -> None:
    assert digest(config("DEFAULT")) == digest(config("IMAGENET1K_V1"))
    assert digest(config("DEFAULT")) == "ResNet18_Weights.IMAGENET1K_V1"


@pytest.mark.parametrize(
    ("name", "file"),
    [("DEFAULT", False), ("IMAGENET1K_V2", False), ("w.pth", True), ("w.pt", True),
     ("w.safetensors", True), ("folder/weights", True), ("s3://bucket/w", True)],
)  # fmt: skip
def test_files_are_told_from_names(name, file) -> None:
    assert is_file(name) == file
