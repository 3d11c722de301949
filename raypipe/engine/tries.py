"""How often a shard was begun again: a worker that is lost cannot say so, a count beside it can."""

from __future__ import annotations

from collections import Counter
from typing import Any

_ANSWER_WITHIN = 30.0  # seconds


class Tries:
    """Counts the shards that workers begin; an actor on the driver's node."""

    def __init__(self) -> None:
        self._begun: Counter[str] = Counter()

    def begin(self, shard: str) -> None:
        """Count a shard."""
        self._begun[shard] += 1

    def again(self) -> int:
        """Return how often a shard was begun that had been begun before."""
        return self._begun.total() - len(self._begun)


def counting() -> Any:  # noqa: ANN401 -- Ray's actor handles have no public type
    """Start counting; return the actor's handle."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    actor: Any = ray.remote(Tries)
    return actor.options(num_cpus=0, scheduling_strategy=here).remote()


def counted(actor: Any) -> int:  # noqa: ANN401 -- see `counting`
    """Return how often shards were begun again; 0 if the count went with the node it was on."""
    import ray

    try:
        return int(ray.get(actor.again.remote(), timeout=_ANSWER_WITHIN))
    except ray.exceptions.RayError:
        return 0  # an account is no reason for the work to fail
