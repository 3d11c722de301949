"""The nodes of a cluster, as its bill sees them."""

from __future__ import annotations

from typing import Any

from raypipe.storage.usage import Node

__all__ = ["GROUP", "MACHINE", "MARKET", "Node", "listed"]

MACHINE, MARKET, GROUP = "raypipe.io/machine", "ray.io/market-type", "ray.io/node-group"
"""Labels of a node: its kind of machine and how it is paid for, which the cluster's file gives, and
its type in that file."""


_UNEXPECTED = 2  # NodeDeathInfo.UNEXPECTED_TERMINATION of Ray's common.proto


def listed() -> list[Node]:
    """Return all nodes that the connected cluster knows, also those that are gone."""
    import ray

    return [_node(item) for item in ray.nodes()]  # type: ignore[no-untyped-call] # Ray has none


def _node(item: dict[str, Any]) -> Node:
    resources, labels = item["Resources"], item.get("Labels") or {}
    cpus, gpus = float(resources.get("CPU", 0.0)), float(resources.get("GPU", 0.0))
    size = f"{cpus:g} CPUs" + (f", {gpus:g} GPUs" if gpus else "")
    return Node(
        id=str(item["NodeID"]),
        alive=bool(item["Alive"]),
        lost=not item["Alive"] and item.get("DeathReason") == _UNEXPECTED,
        machine=labels.get(MACHINE) or labels.get(GROUP) or size,
        market=labels.get(MARKET, ""),
        cpus=cpus,
        gpus=gpus,
    )
