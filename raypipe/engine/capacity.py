"""What a cluster has at this moment, and how many network actors that makes."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.config import EngineConfig

_CALLS_ON_CPU, _CALLS_ON_GPU = 2, 4
"""Shards an actor works on at a time: one is computed while others are read or committed."""

_ROUNDS = 2
"""Rounds of such calls that there must be work for before an actor more is asked for: a node
takes minutes to start and each actor loads the weights."""


@dataclass(frozen=True)
class Capacity:
    """What a cluster has, free or not.

    Attributes:
        cpus: Logical CPUs.
        gpus: GPUs.
        memory: Bytes of the node that has the most for tasks.
    """

    cpus: float
    gpus: float
    memory: int

    @classmethod
    def now(cls) -> Capacity:
        """Ask the connected cluster."""
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call] # Ray has none
        return cls(
            sum(float(node.get("CPU", 0.0)) for node in nodes),
            sum(float(node.get("GPU", 0.0)) for node in nodes),
            max((int(node.get("memory", 0)) for node in nodes), default=0),
        )

    def actors(self, config: EngineConfig, *, on_gpu: bool) -> int:
        """Return how many network actors fit: one a GPU share, else one for so many CPUs."""
        if on_gpu:
            return int(self.gpus / config.gpus_per_actor)
        # Where a single actor wants more CPUs than there are, it gets those that there are.
        return max(int(self.cpus / config.cpus_per_actor), int(self.cpus > 0))


@dataclass(frozen=True)
class Pool:
    """How many actors work on shards.

    Attributes:
        least: Actors that exist from the start to the end. Those that do not fit wait, and an
            actor that waits is what an autoscaler starts nodes for.
        most: Actors to grow to once the cluster has grown.
        calls: Shards an actor works on at a time.
    """

    least: int
    most: int
    calls: int

    @classmethod
    def of(cls, config: EngineConfig, fitting: int, shards: int, *, on_gpu: bool) -> Pool:
        """Say how many actors to use.

        Args:
            config: Its `min_actors` and `max_actors`, and whether the device was told.
            fitting: Actors that fit the cluster as it is.
            shards: Shards to work on, at least one.
            on_gpu: Whether the networks run on GPUs.
        """
        limit = config.max_actors or shards
        calls = _CALLS_ON_GPU if on_gpu else _CALLS_ON_CPU
        least = max(1, min(max(fitting, config.min_actors), limit, shards))
        most = max(least, min(limit, shards // (_ROUNDS * calls)))
        if config.device == "auto" and not on_gpu and not config.max_actors:
            most = least  # nobody asked for nodes: an autoscaler might start some with GPUs for it
        if shards < _ROUNDS * calls * least:
            calls = 1  # the actor that is up first would take what the others could do
        return cls(least, most, calls)

    def words(self, fitting: int, *, on_gpu: bool) -> str:
        """Say in a line where how many actors run.

        Args:
            fitting: Actors that fit the cluster as it is.
            on_gpu: Whether they run on GPUs.
        """
        text = f"networks on {'GPUs' if on_gpu else 'CPUs, no GPU in use'}, {self.least} actors"
        if self.least > fitting:
            text += f" ({fitting} fit now)"
        return text + (f", up to {self.most}" if self.most > self.least else "")
