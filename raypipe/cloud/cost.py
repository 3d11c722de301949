"""What a cluster costs an hour, and what a number of images costs on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from raypipe.cloud.clusterfile import ClusterFile, NodeType, dig, sequence
from raypipe.cloud.prices import Prices

CPU_RATE = 37.0 / 2
"""Images a second on one core: ResNet-50 at 224 pixels gave 37 on two (see docs, budgets).
A cloud's vCPU is as a rule half a core, so this is on the high side."""

START_MINUTES = 8.0
"""From asking for a node to its first image, assumed: machine, image pull, model."""

_DISK = 8  # GB, EC2's usual root disk where the file names none


@dataclass(frozen=True)
class Line:
    """One node type's part.

    Attributes:
        name: Its name in the file.
        instance: EC2's name of the machine.
        market: `spot` or `on demand`.
        minimum: Nodes of it that always run.
        maximum: Nodes of it, at most.
        hour: Dollars an hour of one, None where the table does not know the machine.
    """

    name: str
    instance: str
    market: str
    minimum: int
    maximum: int
    hour: float | None


@dataclass(frozen=True)
class Cost:
    """A cluster's cost.

    Attributes:
        lines: Node types.
        minimum: Dollars an hour with no work, of what is known.
        maximum: Dollars an hour at full size, of what is known.
        unknown: Machines that the table does not know; they are in no sum.
    """

    lines: list[Line]
    minimum: float
    maximum: float
    unknown: list[str]


@dataclass(frozen=True)
class Estimate:
    """Time and money for a number of images.

    Attributes:
        case: Which nodes work.
        nodes: How many they are.
        rate: Images a second of all of them.
        hours: From the start of the first node to the last image.
        dollars: All nodes of the case and the head, from start to idle time-out.
    """

    case: str
    nodes: int
    rate: float
    hours: float
    dollars: float


def cost(file: ClusterFile, prices: Prices) -> Cost:
    """Return what the cluster costs an hour."""
    lines = [
        Line(
            node.name,
            node.instance,
            "spot" if node.spot else "on demand",
            max(node.minimum, int(node.head)),
            node.maximum + int(node.head),
            prices.hour(node.instance, spot=node.spot, disk=_disk(node)),
        )
        for node in file.nodes
        if node.head or node.maximum > 0
    ]
    known = [line for line in lines if line.hour is not None]
    return Cost(
        lines,
        sum(line.minimum * (line.hour or 0.0) for line in known),
        sum(line.maximum * (line.hour or 0.0) for line in known),
        sorted({line.instance for line in lines if line.hour is None and line.instance}),
    )


def estimates(
    file: ClusterFile, prices: Prices, images: int, rate: float | None
) -> Iterator[Estimate]:
    """Yield what `images` take with every worker, and with those only that cannot be taken away.

    Rates add up: storage is taken to keep pace. Without `rate` nothing is said of GPU nodes; their
    CPUs count like other CPUs in a case of its own.

    Args:
        file: The cluster.
        prices: Prices.
        images: How many images.
        rate: Images a second of one GPU node, as the user assumes it.
    """
    gpu = [node for node in file.workers if node.gpus]
    cpu = [node for node in file.workers if not node.gpus]
    steady = [node for node in gpu if not node.spot]
    if gpu and rate:
        yield from _estimate("all GPU nodes", gpu, rate, file, prices, images)
        if 0 < len(steady) < len(gpu):
            yield from _estimate("no spot to be had", steady, rate, file, prices, images)
    if cpu:
        yield from _estimate("CPU nodes alone", cpu, None, file, prices, images)


def _estimate(
    case: str, nodes: list[NodeType], rate: float | None,
    file: ClusterFile, prices: Prices, images: int,
) -> Iterator[Estimate]:  # fmt: skip
    total = sum(
        node.maximum * (rate or CPU_RATE * float(node.resources.get("CPU", 0))) for node in nodes
    )
    if total <= 0:
        return
    hours = images / total / 3600 + START_MINUTES / 60
    idle = float(file.content.get("idle_timeout_minutes", 5)) / 60
    workers = sum(node.maximum * _hour(node, prices) for node in nodes)
    always = sum(  # the head, and what runs whether it works or not
        max(node.minimum, int(node.head)) * _hour(node, prices)
        for node in file.nodes
        if node not in nodes
    )
    count = sum(node.maximum for node in nodes)
    yield Estimate(case, count, total, hours, (workers + always) * (hours + idle))


def _hour(node: NodeType, prices: Prices) -> float:
    return prices.hour(node.instance, spot=node.spot, disk=_disk(node)) or 0.0


def _disk(node: NodeType) -> int:
    """Return the node's disks, GB."""
    disks = sequence(node.config.get("BlockDeviceMappings"))
    sizes = [dig(disk, "Ebs", "VolumeSize") for disk in disks]
    return sum(size for size in sizes if isinstance(size, int)) or _DISK
