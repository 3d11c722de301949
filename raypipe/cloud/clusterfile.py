"""A `cluster.yaml` of Ray's cluster launcher, read for checking: nothing is filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raypipe.errors import ConfigError, MissingError


@dataclass(frozen=True)
class Finding:
    """One mistake in a cluster file.

    Attributes:
        where: Place in the file, keys joined by dots.
        what: What is wrong with it, and what follows from that.
        remedy: What to write instead.
    """

    where: str
    what: str
    remedy: str


@dataclass(frozen=True)
class NodeType:
    """One entry of `available_node_types`.

    Attributes:
        name: Its name.
        head: Whether the head node is of this type.
        minimum: Workers of it that always run.
        maximum: Workers of it, at most.
        resources: What Ray may place on it, as `{"CPU": 16, "GPU": 1}`.
        config: Parameters of EC2's RunInstances, and `SubnetIds`.
        labels: What Ray tells of its nodes, by name.
    """

    name: str
    head: bool
    minimum: int
    maximum: int
    resources: Mapping[str, Any]
    config: Mapping[str, Any]
    labels: Mapping[str, Any]

    @property
    def instance(self) -> str:
        """EC2's name of the machine, or an empty string."""
        return str(self.config.get("InstanceType", ""))

    @property
    def spot(self) -> bool:
        """Whether it is bought on the spot market."""
        return bool(dig(self.config, "InstanceMarketOptions", "MarketType") == "spot")

    @property
    def gpus(self) -> int:
        """GPUs that Ray may use on it."""
        return int(self.resources.get("GPU", 0))


@dataclass(frozen=True)
class ClusterFile:
    """A cluster file.

    Attributes:
        path: Where it was read.
        content: What it says.
    """

    path: str
    content: Mapping[str, Any]

    @property
    def provider(self) -> Mapping[str, Any]:
        """Its `provider` section."""
        return mapping(self.content.get("provider"))

    @property
    def region(self) -> str:
        """Region of the cloud, or an empty string."""
        return str(self.provider.get("region", ""))

    @property
    def nodes(self) -> list[NodeType]:
        """Its node types; a missing maximum is the global one, as Ray fills it in."""
        types = mapping(self.content.get("available_node_types"))
        return [self._node(str(name), mapping(found)) for name, found in types.items()]

    @property
    def workers(self) -> list[NodeType]:
        """Node types that workers can be of."""
        return [node for node in self.nodes if node.maximum > 0]

    @property
    def image(self) -> str:
        """Container image, or an empty string."""
        docker = mapping(self.content.get("docker"))
        return str(docker.get("image") or docker.get("head_image") or "")

    def commands(self, *keys: str) -> list[str]:
        """Return the shell commands below these keys, one after the other."""
        return [str(line) for key in keys for line in self.content.get(key) or ()]

    def _node(self, name: str, found: Mapping[str, Any]) -> NodeType:
        head = name == self.content.get("head_node_type")
        widest = 0 if head else int(self.content.get("max_workers", 2))  # 2: Ray's defaults.yaml
        return NodeType(
            name,
            head,
            int(found.get("min_workers", 0)),
            int(found.get("max_workers", widest)),
            mapping(found.get("resources")),
            mapping(found.get("node_config")),
            mapping(found.get("labels")),
        )


def read(path: str) -> ClusterFile:
    """Read a cluster file.

    Raises:
        MissingError: If there is no such file.
        ConfigError: If it is not YAML, or not a mapping at its top.
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise MissingError(
            f"{path}: {error.strerror or error}", "name a cluster file, as cluster.yaml"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: not YAML ({reason})", "mend the place it names") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: not a mapping", "write keys as in the cluster.yaml we ship")
    return ClusterFile(path, content)


def mapping(value: object) -> Mapping[str, Any]:
    """Return a mapping as it is, anything else as an empty one."""
    return value if isinstance(value, Mapping) else {}


def sequence(value: object) -> Sequence[Any]:
    """Return a list as it is, anything else as an empty one."""
    return value if isinstance(value, list) else []


def dig(value: object, *keys: str) -> Any:  # noqa: ANN401 -- YAML holds anything
    """Return what lies below the keys, or None."""
    for key in keys:
        value = mapping(value).get(key)
    return value
