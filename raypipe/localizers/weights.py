"""Weights by torchvision name or from a local file, and the classes they were trained on."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raypipe.config import LocalizerConfig
from raypipe.errors import ConfigError
from raypipe.localizers.architectures import build, family_of
from raypipe.storage.location import Location

if TYPE_CHECKING:
    from torch import Tensor, nn

_SUFFIXES = (".pth", ".pt", ".safetensors")
_IMAGENET = 1000


@dataclass(frozen=True)
class Pretrained:
    """A network with its weights.

    Attributes:
        network: In evaluation mode, on the CPU.
        classes: Names of its outputs, in their order; empty if nothing says them.
    """

    network: nn.Module
    classes: tuple[str, ...]


def is_file(weights: str) -> bool:
    """Whether the setting names a file rather than torchvision weights."""
    return weights.endswith(_SUFFIXES) or "/" in weights


def digest(config: LocalizerConfig) -> str:
    """Return a fingerprint of the weights: a hash of the file, or torchvision's full name.

    Raises:
        ConfigError: If torchvision has no weights of that name.
        InputError: If the file cannot be read.
    """
    if is_file(config.weights):
        content = Location.of(config.weights).read_bytes()
        return hashlib.sha256(content).hexdigest()[:16]
    return str(_published(config))


def load(config: LocalizerConfig) -> Pretrained:
    """Build the network and load its weights.

    Raises:
        ConfigError: If the weights are of another architecture or cannot be had.
        InputError: If the file cannot be read.
    """
    if is_file(config.weights):
        state, classes = _read(config)
        outputs = state.get(f"{family_of(config.architecture).head}.weight")
        if outputs is None:
            raise _misfit(config, f"it has no {family_of(config.architecture).head}.weight")
        network = build(config.architecture, len(outputs))
    else:
        state, classes = _download(config)
        network = build(config.architecture, len(classes))
    try:
        # Auxiliary heads serve training only: weights come with them or without.
        kept = OrderedDict((name, item) for name, item in state.items() if not _auxiliary(name))
        # MNASNet asks for its layers' versions, which safetensors files do not hold.
        versions = getattr(state, "_metadata", None) or network.state_dict()._metadata  # type: ignore[attr-defined]  # noqa: SLF001
        kept._metadata = versions  # type: ignore[attr-defined]  # noqa: SLF001
        missing, unexpected = network.load_state_dict(kept, strict=False)
    except RuntimeError as error:
        raise _misfit(config, str(error).splitlines()[1].strip()) from None
    missing = [name for name in missing if not _auxiliary(name)]
    if missing or unexpected:
        raise _misfit(config, f"missing {missing[:3]}, unexpected {list(unexpected)[:3]}")
    return Pretrained(network.eval(), _named(config, classes, len(state[_head_name(config)])))


def _head_name(config: LocalizerConfig) -> str:
    return f"{family_of(config.architecture).head}.weight"


def _auxiliary(name: str) -> bool:
    return name.startswith(("aux1.", "aux2.", "AuxLogits."))


def _misfit(config: LocalizerConfig, reason: str) -> ConfigError:
    return ConfigError(
        f"{config.weights}: does not fit {config.architecture} ({reason})",
        "pass the --architecture that the weights belong to",
    )


def _read(config: LocalizerConfig) -> tuple[Mapping[str, Tensor], tuple[str, ...]]:
    """Return a local file's tensors, and the classes its metadata names."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load as load_safetensors

    place = Location.of(config.weights)
    content = place.read_bytes()
    if place.name.endswith(".safetensors"):
        try:
            state = load_safetensors(content)
        except SafetensorError as error:
            raise ConfigError(f"{place}: not a safetensors file ({error})", "restore it") from None
        return state, _named_in(content)
    try:
        # Only tensors: a pickle could run anything.
        loaded: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 -- a damaged file makes the unpickler raise anything
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ConfigError(
            f"{place}: not a state dict of tensors ({reason})", "save model.state_dict()"
        ) from None
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]  # a training checkpoint
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and torch.is_tensor(item) for name, item in loaded.items()
    ):
        raise ConfigError(f"{place}: not a state dict of tensors", "save model.state_dict()")
    return {name.removeprefix("module."): tensor for name, tensor in loaded.items()}, ()


def _named_in(content: bytes) -> tuple[str, ...]:
    """Return the classes in a safetensors file's metadata; its header is JSON after its length."""
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    return tuple(json.loads(metadata.get("classes", "[]")))


def _published(config: LocalizerConfig) -> object:
    """Return torchvision's weights enum member of that name."""
    from torchvision import models

    try:
        return models.get_model_weights(config.architecture)[config.weights]
    except (KeyError, ValueError):
        known: list[str] = []
        if config.architecture in models.list_models(models):
            known = [item.name for item in models.get_model_weights(config.architecture)]
        raise ConfigError(
            f"unknown weights {config.weights!r} for {config.architecture}",
            f"known are: {', '.join(known) or 'none'}; or pass a .pth or .safetensors file",
        ) from None


def _download(config: LocalizerConfig) -> tuple[Mapping[str, Tensor], tuple[str, ...]]:
    """Return published weights, from torch's cache or its server."""
    weights = _published(config)
    try:
        with redirect_stdout(sys.stderr):  # it says so where results go
            state = weights.get_state_dict(progress=False, check_hash=True)  # type: ignore[attr-defined]
    except (OSError, RuntimeError) as error:
        raise ConfigError(
            f"{weights}: cannot be downloaded ({error})",
            "pass --weights with a local .pth or .safetensors file",
        ) from None
    return state, tuple(weights.meta["categories"])  # type: ignore[attr-defined]


def _named(config: LocalizerConfig, classes: tuple[str, ...], outputs: int) -> tuple[str, ...]:
    """Return the names of the outputs: the user's, the file's, else ImageNet's for 1,000."""
    if config.network_classes:
        text = Location.of(config.network_classes).read_text()
        names = tuple(line.strip() for line in text.splitlines() if line.strip())
        if len(names) != outputs:
            raise ConfigError(
                f"{config.network_classes}: names {len(names)} classes, the network has {outputs}",
                "write one class a line, in the order of the outputs",
            )
        return names
    if classes or outputs != _IMAGENET:
        return classes
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.DEFAULT.meta["categories"])
