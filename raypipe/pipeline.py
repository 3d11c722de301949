"""The steps in their order: what is done, what is stale, what comes next.

This is the one place that knows all steps. It runs a step only if its fingerprint says so; the
steps know nothing of each other.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from raypipe import config, plugins
from raypipe.config import DatasetConfig, Settings
from raypipe.engine import Engine, connected
from raypipe.errors import InputError, TooManyRejectsError
from raypipe.progress import interrupted, say
from raypipe.storage.location import Location
from raypipe.storage.run import Manifest, Plan, Run, slug

_SAVED = "settings.json"
_REMEMBERED = {
    "index": ("dataset",),
    "fit": ("dataset", "localizer", "fit"),
    "extract": ("dataset", "localizer", "extract"),
    "cluster": ("cluster",),
    "sheets": ("sheets",),
    "refine": ("refine",),
    "evaluate": ("evaluate",),
}
"""Sections that a run remembers once a step has succeeded with them: a mistyped flag is not kept.
A target is named anew by each command that has one, and the engine changes no result."""


def resolve(file: str | None, flags: dict[str, Any]) -> tuple[Run, Settings]:
    """Return the run and its settings: what the run remembers, unless something else says more.

    Args:
        file: A TOML run file, or None.
        flags: Nested values from the command line.

    Raises:
        ConfigError: If a value does not fit.
        InputError: If no run is named and there is not exactly one below `runs/`.
    """
    first = config.load(file, flags)
    names_dataset = bool(file) or "name" in flags.get("dataset", {})
    run = Run.at(first.run or _default_run(first, names_dataset=names_dataset))
    return run, config.load(file, flags, _saved(run))


def _saved(run: Run) -> dict[str, Any]:
    """Return the settings that a run remembers."""
    place = run.root / _SAVED
    try:
        found: dict[str, Any] = json.loads(place.read_text()) if place.exists() else {}
    except json.JSONDecodeError as error:
        raise InputError(
            f"{place}: not JSON ({error})", "delete it and name the flags again"
        ) from None
    return found


def _default_run(settings: Settings, *, names_dataset: bool) -> str:
    """Return runs/<dataset>, or the only run there is."""
    if names_dataset:
        return f"runs/{settings.dataset.name}"
    runs = [
        entry.path
        for entry in Location.of("runs").entries()
        if (Location.of(entry.path) / _SAVED).exists()
    ]
    if len(runs) == 1:
        return str(runs[0])
    found = f"there are {', '.join(runs)}" if runs else "there is none below runs/"
    raise InputError(f"which run? {found}", "pass --run, or --dataset to start one")


class Pipeline:
    """The steps of one run.

    Args:
        run: The run directory.
        settings: The configuration.
        fresh: Do a step again even if it is done.
    """

    def __init__(self, run: Run, settings: Settings, *, fresh: bool = False) -> None:
        self.run = run
        self.settings = settings
        self._fresh = fresh
        self._stack = ExitStack()
        self._engine: Engine | None = None
        self._told: set[str] = set()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def engine(self) -> Engine:
        """The Ray cluster, connected when it is first needed."""
        if self._engine is None:
            manager: AbstractContextManager[Engine] = connected(self.settings.engine)
            self._engine = self._stack.enter_context(manager)
        return self._engine

    # -- the steps, in their order ------------------------------------------------------------

    def index(self) -> Manifest:
        """Index the training split."""
        return self._index(self.settings.dataset, self.settings.dataset.split, asked=True)

    def fit(self) -> Manifest:
        """Learn a head for the classes that the network does not know."""
        from raypipe.fit import flow

        self._index(self.settings.dataset, self.settings.dataset.split)
        return self._do(
            flow.plan(self.run, self.settings),
            lambda: flow.execute(self.run, self.settings, self.engine),
        )

    def extract(self) -> Manifest:
        """Extract maps and regions of the training split."""
        from raypipe.extract import flow

        self._index(self.settings.dataset, self.settings.dataset.split)
        return self._do(
            flow.plan(self.run, self.settings),
            lambda: flow.execute(self.run, self.settings, self.engine),
        )

    def cluster(self) -> Manifest:
        """Cluster each class's regions."""
        from raypipe.cluster import flow

        return self._do(
            flow.plan(self.run, self.settings),
            lambda: flow.execute(self.run, self.settings, self.engine),
        )

    def sheets(self) -> Manifest:
        """Draw the contact sheets."""
        from raypipe.annotate import flow

        return self._do(
            flow.plan(self.run, self.settings),
            lambda: flow.execute(self.run, self.settings, self.engine),
        )

    def refine(self) -> Manifest:
        """Refine the target images."""
        from raypipe.refine import flow

        target = self.target_set
        verdicts = self.verdicts()
        self._index_target(target)
        return self._do(
            flow.plan(self.run, self.settings, target, verdicts),
            lambda: flow.execute(self.run, self.settings, self.engine, target, verdicts),
        )

    def evaluate(self) -> Manifest:
        """Compare the target's detections with its truth."""
        from raypipe.evaluate import flow

        target = self.target_set
        return self._do(
            flow.plan(self.run, self.settings, target),
            lambda: flow.execute(self.run, self.settings, self.engine, target),
        )

    def everything(self) -> bool:
        """Do all steps up to the point where a person must answer, and go on after that.

        Returns:
            Whether it went to the end; False if answers are missing.
        """
        from raypipe.annotate import labels, simulate

        for step in (self.index, self.fit, self.extract, self.cluster, self.sheets):
            step()
        if self.settings.simulate.enabled:
            labels.record(self.run, simulate.simulate(self.run, self.settings.simulate))
        answers = labels.status(self.run)
        if answers.answered < answers.clusters:
            say(
                f"{answers.clusters - answers.answered} questions are open. "
                f"Look at {self.run.step('sheets')}/index.html, then:\n"
                f"  raypipe labels template --run {self.run} > labels.csv   (fill in verdict)\n"
                f"  raypipe labels ingest labels.csv --run {self.run}\n"
                "and the same command goes on."
            )
            return False
        self.refine()
        if self.has_truth():
            self.evaluate()
        return True

    def report(self) -> dict[str, Any]:
        """Return what `evaluate` wrote to report.json."""
        place = self.run.step(f"evaluate/{self.target_set}") / "report.json"
        content: dict[str, Any] = json.loads(place.read_text())
        return content

    # -- the target ---------------------------------------------------------------------------

    @property
    def target(self) -> DatasetConfig:
        """The dataset to refine: [target] over [dataset]."""
        target, own = self.settings.target, self.settings.dataset
        changes = {
            "name": target.name or own.name,
            "root": target.root or ("" if target.name and target.name != own.name else own.root),
            "split": target.split,
            "limit": 0,
            "only": () if self._elsewhere else own.only,
        }
        return own.model_copy(update=changes)

    @property
    def target_set(self) -> str:
        """Name of the target's set below `index/`."""
        target = self.settings.target
        if not self._elsewhere:
            return target.split
        base = Location.of(target.root).name if target.root else target.name
        name = base if self.target.name == "imagefolder" else f"{base}-{target.split}"
        # A folder called `train` is not the training split.
        return slug(f"{name}-images" if name == self.settings.dataset.split else name)

    @property
    def _elsewhere(self) -> bool:
        """Whether the target is another dataset than the run's own."""
        return bool(self.settings.target.name or self.settings.target.root)

    def has_truth(self) -> bool:
        """Whether the target has boxes or masks to evaluate against."""
        counts = self.run.require(f"index/{self.target_set}").counts
        return bool(counts["boxes"] or counts["masks"])

    def _index_target(self, target: str) -> Manifest:
        from raypipe.datasets.index import read_classes

        searched = self.settings.target.classes
        if target == self.settings.dataset.split and not self._elsewhere and not searched:
            return self._index(self.settings.dataset, target)
        known = read_classes(self.run, self.run.require("extract").details["index_set"])
        return self._index(self.target, target, searched, known)

    def _index(
        self, dataset: DatasetConfig, target: str, searched: tuple[str, ...] = (),
        known: Any = (), *, asked: bool = False,  # noqa: ANN401 -- ClassRecords, imported lazily
    ) -> Manifest:  # fmt: skip
        from raypipe.datasets import index

        dataset = located(dataset)
        plan = index.plan(dataset, target, searched)
        return self._do(plan, lambda: index.execute(self.run, dataset, plan, known), asked=asked)

    def verdicts(self) -> dict[tuple[str, int], str]:
        """Return the answer on each answered cluster.

        Raises:
            InputError: If there is none yet.
        """
        from raypipe.annotate import labels

        self.run.require("cluster")
        verdicts = labels.verdicts(self.run)
        if not verdicts:
            raise InputError(
                f"{self.run}: no labels yet",
                f"look at the sheets, then `raypipe labels template --run {self.run}` and ingest",
            )
        return verdicts

    # -- running and reporting ----------------------------------------------------------------

    def _do(self, plan: Plan, execute: Callable[[], Manifest], *, asked: bool = True) -> Manifest:
        """Execute a step unless it is done; say what happens and why.

        Args:
            plan: What the step would do.
            execute: Does it.
            asked: It is the step that was asked for, not one that it needs: `--fresh` is meant.
        """
        state, reasons = self.run.state(plan)
        done = self.run.manifest(plan.step)
        fresh = self._fresh and asked
        if done is not None and state == "done" and not fresh:
            if plan.step not in self._told:
                self._told.add(plan.step)
                say(f"{plan.step}: done already, {_counted(done.counts)}")
            self._remember(plan.step)
            self._check_rejects(done)
            return done
        if state == "stale":
            say(f"{plan.step}: stale ({'; '.join(reasons)}), doing it again")
        if state == "partial":
            say(f"{plan.step}: going on where it stopped")
        if fresh and self.run.step(plan.step).exists():
            say(f"{plan.step}: --fresh deletes {self.run.step(plan.step)}")
            self.run.step(plan.step).delete()
        manifest = execute()
        if interrupted.is_set():
            raise KeyboardInterrupt
        self._told.add(plan.step)
        self._remember(plan.step)
        say(f"{plan.step}: {_counted(manifest.counts)} in {manifest.seconds:.1f} s")
        self._check_rejects(manifest)
        return manifest

    def _check_rejects(self, manifest: Manifest) -> None:
        """Raise if a step rejected more inputs than the limit allows, each time it is asked for."""
        counts, limit = manifest.counts, self.settings.engine.max_reject_share
        if counts.get("rejects", 0) > limit * counts.get("images", 0):
            raise TooManyRejectsError(
                f"{counts['rejects']} of {counts['images']} images were rejected, "
                f"the limit is {limit:.0%}",
                f"the reasons are in {self.run.step(manifest.step)}/rejects; "
                "--set engine.max_reject_share=1 accepts it",
            )

    def _remember(self, step: str) -> None:
        """Keep the sections that a step was done with."""
        if step.startswith("index/") and step != f"index/{self.settings.dataset.split}":
            return
        place = self.run.root / _SAVED
        saved = _saved(self.run)
        for section in _REMEMBERED[step.split("/", maxsplit=1)[0]]:
            saved[section] = _absolute(getattr(self.settings, section).model_dump(mode="json"))
        place.write_bytes((json.dumps(saved, indent=2) + "\n").encode())


def _absolute(section: dict[str, Any]) -> dict[str, Any]:
    """Return a section with its paths absolute, so that the run can be used from anywhere."""
    from raypipe.localizers.weights import is_file

    for name in ("root", "class_file", "network_classes", "mapping", "weights"):
        path = section.get(name)
        if path and (name != "weights" or is_file(path)):
            section[name] = str(Location.of(path))
    return section


def located(dataset: DatasetConfig) -> DatasetConfig:
    """Return the dataset with its root found and absolute.

    Raises:
        ConfigError: If the plug-in is unknown or no root is given.
    """
    plugins.find("raypipe.datasets", dataset.name)  # an unknown name is the first thing to say
    root = config.dataset_root(dataset.name, dataset.root)
    return dataset.model_copy(update={"root": str(Location.of(root))})


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())
