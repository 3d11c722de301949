"""What a run has used so far, step by step, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.cloud.prices import Prices
from raypipe.storage.run import Run
from raypipe.storage.usage import Attempt, Kind, attempts

_HOUR = 3600.0


@dataclass(frozen=True)
class StepUse:
    """One step's part, all its attempts together.

    Attributes:
        step: Its name.
        attempts: Processes that worked on it.
        seconds: Of wall-clock time, added up.
        images: That it went over, as its manifest says; 0 before it is done.
        rejects: Likewise.
        retries: Shards that were begun again because their worker was lost.
        lost: Nodes that went without being sent away.
        node_hours: Of all nodes of the cluster.
        gpu_hours: Of their GPUs, used or not.
        dollars: Of what has a price; None where nothing has.
    """

    step: str
    attempts: int
    seconds: float
    images: int
    rejects: int
    retries: int
    lost: int
    node_hours: float
    gpu_hours: float
    dollars: float | None


@dataclass(frozen=True)
class MachineUse:
    """One kind of machine's part.

    Attributes:
        machine: Its name, type in the cluster's file, or size.
        market: spot, on-demand, or empty where no label says.
        node_hours: Of all its nodes.
        dollars: None where the table does not know it.
    """

    machine: str
    market: str
    node_hours: float
    dollars: float | None


@dataclass(frozen=True)
class Bill:
    """What a run has used.

    Attributes:
        steps: In the order in which they began.
        machines: By kind.
        seconds: Of all steps.
        node_hours: Of all steps.
        gpu_hours: Of all steps.
        retries: Of all steps.
        lost: Of all steps.
        dollars: Of what has a price; None where nothing has.
        unknown: Machines without a price; they are in no sum.
        unfinished: Attempts that were killed, or still run.
    """

    steps: list[StepUse]
    machines: list[MachineUse]
    seconds: float
    node_hours: float
    gpu_hours: float
    retries: int
    lost: int
    dollars: float | None
    unknown: list[str]
    unfinished: int


def bill(run: Run, prices: Prices) -> Bill:
    """Add up what the steps of a run wrote down.

    Node hours are those in which a node was part of the cluster while a step ran: neither the
    minutes in which it started nor those in which it waited to be sent away.

    Args:
        run: The run directory.
        prices: Dollars an hour of each machine; a node whose market is not known counts as on
            demand.
    """
    known = attempts(run)
    by_step: dict[str, list[Attempt]] = {}
    for attempt in known:
        by_step.setdefault(attempt.step, []).append(attempt)
    steps = [_step(run, step, own, prices) for step, own in by_step.items()]
    machines = _machines([kind for attempt in known for kind in attempt.kinds], prices)
    return Bill(
        steps=steps,
        machines=machines,
        seconds=sum(item.seconds for item in steps),
        node_hours=sum(item.node_hours for item in steps),
        gpu_hours=sum(item.gpu_hours for item in steps),
        retries=sum(item.retries for item in steps),
        lost=sum(item.lost for item in steps),
        dollars=_sum([item.dollars for item in steps]),
        unknown=[item.machine for item in machines if item.dollars is None],
        unfinished=sum(not attempt.finished for attempt in known),
    )


def _step(run: Run, step: str, own: list[Attempt], prices: Prices) -> StepUse:
    manifest = run.manifest(step)
    counts = manifest.counts if manifest else {}
    kinds = [kind for attempt in own for kind in attempt.kinds]
    return StepUse(
        step=step,
        attempts=len(own),
        seconds=sum(attempt.seconds for attempt in own),
        images=counts.get("images", 0),
        rejects=counts.get("rejects", 0),
        retries=sum(attempt.retries for attempt in own),
        lost=sum(attempt.lost for attempt in own),
        node_hours=sum(kind.seconds for kind in kinds) / _HOUR,
        gpu_hours=sum(kind.seconds * kind.gpus for kind in kinds) / _HOUR,
        dollars=_sum([_dollars(kind, prices) for kind in kinds]),
    )


def _machines(kinds: list[Kind], prices: Prices) -> list[MachineUse]:
    seconds: dict[tuple[str, str], float] = {}
    dollars: dict[tuple[str, str], list[float | None]] = {}
    for kind in kinds:
        key = (kind.machine, kind.market)
        seconds[key] = seconds.get(key, 0.0) + kind.seconds
        dollars.setdefault(key, []).append(_dollars(kind, prices))
    return [
        MachineUse(machine, market, total / _HOUR, _sum(dollars[machine, market]))
        for (machine, market), total in sorted(seconds.items())
    ]


def _dollars(kind: Kind, prices: Prices) -> float | None:
    hour = prices.hour(kind.machine, spot=kind.market == "spot", disk=0)
    return None if hour is None else hour * kind.seconds / _HOUR


def _sum(parts: list[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if known else None
