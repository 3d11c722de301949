"""How the steps of a run stand, and what comes next; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from raypipe.errors import RaypipeError
from raypipe.pipeline import Pipeline, located
from raypipe.storage.run import Plan, Run, State


@dataclass(frozen=True)
class StepState:
    """How a step stands.

    Attributes:
        name: Of the step.
        state: done, stale, partial or missing; `waiting` if a step before it is not done.
        reasons: Why it is stale, or what it waits for.
        counts: Of the last finished execution.
        seconds: It took.
    """

    name: str
    state: State | str
    reasons: list[str]
    counts: dict[str, int]
    seconds: float


def states(pipeline: Pipeline) -> Iterator[StepState]:
    """Yield how each step stands."""
    for name, make in _plans(pipeline):
        manifest = pipeline.run.manifest(name)
        counts = manifest.counts if manifest else {}
        seconds = manifest.seconds if manifest else 0.0
        try:
            state, reasons = pipeline.run.state(make())
        except RaypipeError as error:
            # The step's plan needs a step that is not there: it has to wait for it.
            yield StepState(name, "waiting", [error.message], counts, seconds)
            continue
        yield StepState(name, state, reasons, counts, seconds)


def following(pipeline: Pipeline) -> str:
    """Return the next command, or an empty string when everything is done."""
    for item in states(pipeline):
        if item.state == "done":
            continue
        name = item.name.split("/", maxsplit=1)[0]
        if name == "refine" and pipeline.run.manifest("sheets") is not None:
            return _refine_hint(pipeline.run)
        return f"raypipe {name} --run {pipeline.run}"
    return ""


def _refine_hint(run: Run) -> str:
    from raypipe.annotate import labels

    if labels.verdicts(run):
        return f"raypipe refine --run {run}"
    return f"raypipe labels template --run {run} > labels.csv"


def _plans(pipeline: Pipeline) -> list[tuple[str, Callable[[], Plan]]]:
    from raypipe.annotate import flow as sheets
    from raypipe.cluster import flow as cluster
    from raypipe.datasets import index
    from raypipe.evaluate import flow as evaluate
    from raypipe.extract import flow as extract
    from raypipe.fit import flow as fit
    from raypipe.refine import flow as refine

    run, settings, target = pipeline.run, pipeline.settings, pipeline.target_set
    dataset = located(settings.dataset)
    plans: list[tuple[str, Callable[[], Plan]]] = [
        (f"index/{dataset.split}", lambda: index.plan(dataset, dataset.split)),
        ("extract", lambda: extract.plan(run, settings)),
        ("cluster", lambda: cluster.plan(run, settings)),
        ("sheets", lambda: sheets.plan(run, settings)),
        (f"refine/{target}", lambda: refine.plan(run, settings, target, pipeline.verdicts())),
        (f"evaluate/{target}", lambda: evaluate.plan(run, settings, target)),
    ]
    if run.step("fit").exists():
        plans.insert(1, ("fit", lambda: fit.plan(run, settings)))
    return plans
