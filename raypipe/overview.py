"""How the steps of a run stand, and what comes next; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from raypipe.config import Settings
from raypipe.errors import RaypipeError
from raypipe.pipeline import Pipeline
from raypipe.resolve import located
from raypipe.storage.commit import ShardCommit
from raypipe.storage.images import read_shards
from raypipe.storage.run import Manifest, Plan, Run, State, slug
from raypipe.storage.usage import attempts

_RECENT = timedelta(minutes=5)
"""How far back a rate looks: long enough for several shards, short enough to show a stall."""


@dataclass(frozen=True)
class Progress:
    """How far an unfinished step is, from the files it has committed; also of another process.

    Attributes:
        shards: Shards committed.
        shards_left: Shards that are not.
        images: Images in committed shards, rejects included.
        images_left: Images in the others.
        rejects: Images rejected so far.
        rate: Images a second over the last five minutes, or since the step began.
        idle: Seconds since the last commit.
    """

    shards: int
    shards_left: int
    images: int
    images_left: int
    rejects: int
    rate: float
    idle: float


@dataclass(frozen=True)
class StepState:
    """How a step stands.

    Attributes:
        name: Of the step.
        state: done, stale, partial or missing; `waiting` if a step before it is not done.
        reasons: Why it is stale, or what it waits for.
        counts: Of the last finished execution.
        seconds: It took.
        progress: Of an unfinished execution.
    """

    name: str
    state: State | str
    reasons: list[str]
    counts: dict[str, int]
    seconds: float
    progress: Progress | None = None


def states(pipeline: Pipeline) -> Iterator[StepState]:
    """Yield how each step stands."""
    for name, make in _plans(pipeline):
        manifest = pipeline.run.manifest(name)
        counts = manifest.counts if manifest else {}
        seconds = manifest.seconds if manifest else 0.0
        if begun := pipeline.run.begun(name):
            yield StepState(name, "partial", [], counts, seconds, _progress(pipeline, begun))
            continue
        try:
            state, reasons = pipeline.run.state(make())
        except RaypipeError as error:
            # The step's plan needs a step that is not there: it has to wait for it.
            yield StepState(name, "waiting", [error.message], counts, seconds)
            continue
        yield StepState(name, state, reasons, counts, seconds)


def _progress(pipeline: Pipeline, begun: Manifest) -> Progress | None:
    """Return how far a step is, or None for one that does not work shard by shard."""
    from raypipe.extract.flow import OUTPUTS as EXTRACT
    from raypipe.fit.flow import OUTPUTS as FIT
    from raypipe.refine.flow import OUTPUTS as REFINE

    run, step = pipeline.run, begun.step.partition("/")[0]
    outputs = {"fit": FIT, "extract": EXTRACT, "refine": REFINE}.get(step)
    if outputs is None:
        return None
    index_set = pipeline.target_set if step == "refine" else pipeline.settings.dataset.split
    commit = ShardCommit(run, Plan(begun.step, begun.config, begun.upstream), outputs)
    sizes = {slug(row["shard"]): row["images"] for row in read_shards(run, index_set).to_pylist()}
    written = commit.parts(outputs[-1].table).written()
    now = datetime.now(UTC)
    since = max(now - _RECENT, datetime.fromisoformat(begun.created))
    recent = sum(sizes.get(shard, 0) for shard, when in written.items() if when >= since)
    images = sum(sizes.get(shard, 0) for shard in written)
    last = max(written.values(), default=datetime.fromisoformat(begun.created))
    return Progress(
        shards=len(written),
        shards_left=len(sizes) - len(written),
        images=images,
        images_left=sum(sizes.values()) - images,
        rejects=commit.rejects.count(),
        rate=round(recent / max((now - since).total_seconds(), 1.0), 2),
        idle=round(max((now - last).total_seconds(), 0.0), 1),
    )


def nodes(run: Run) -> str:
    """Say in a line what the cluster of the attempt that ran last has, as it wrote it down."""
    known = attempts(run)
    if not known or not known[-1].present:
        return "nodes: none seen yet"
    last = known[-1]
    age = (datetime.now(UTC) - datetime.fromisoformat(last.written)).total_seconds()
    present = last.present
    return (
        f"nodes: {present['nodes']:g} with {present['cpus']:g} CPUs and {present['gpus']:g} GPUs, "
        f"{age:.0f} s ago; lost in this step: {last.lost}"
    )


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
    return f"raypipe annotate --run {run}"


def _plans(pipeline: Pipeline) -> list[tuple[str, Callable[[], Plan]]]:
    from raypipe.annotate import flow as sheets
    from raypipe.cluster import flow as cluster
    from raypipe.datasets import index
    from raypipe.evaluate import flow as evaluate
    from raypipe.extract import flow as extract
    from raypipe.fit import flow as fit
    from raypipe.masks import flow as masks
    from raypipe.refine import flow as refine

    run, settings, target = pipeline.run, pipeline.settings, pipeline.target_set
    judged = _as_evaluated(run, settings, target)
    dataset = located(settings.dataset, settings.s3)
    plans: list[tuple[str, Callable[[], Plan]]] = [
        (f"index/{dataset.split}", lambda: index.plan(dataset, dataset.split)),
        ("extract", lambda: extract.plan(run, settings)),
        ("cluster", lambda: cluster.plan(run, settings)),
        ("sheets", lambda: sheets.plan(run, settings)),
        (f"refine/{target}", lambda: refine.plan(run, settings, target, pipeline.verdicts())),
        (f"evaluate/{target}", lambda: evaluate.plan(run, judged, target)),
    ]
    if run.step("fit").exists():
        plans.insert(1, ("fit", lambda: fit.plan(run, settings)))
    if run.step(f"masks/{target}").exists():
        plans.insert(-1, (f"masks/{target}", lambda: masks.plan(run, settings, target)))
    return plans


def _as_evaluated(run: Run, settings: Settings, target: str) -> Settings:
    """Return the settings with what a set was evaluated with, unless something else is named.

    Truth files and other methods' maps are named anew by each command, as a target is.
    """
    own, done = settings.target, run.manifest(f"evaluate/{target}")
    if done is None or own.truth or own.maps or own.predictions:
        return settings
    given = {name: done.config.get(name) for name in ("truth", "maps", "predictions")}
    kept = {name: value for name, value in given.items() if value}
    return settings.model_copy(update={"target": own.model_copy(update=kept)})
