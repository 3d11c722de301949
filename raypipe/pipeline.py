"""The steps in their order: what is done, what is stale, what comes next.

This is the one place that knows all steps. It runs a step only if its fingerprint says so; the
steps know nothing of each other.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from raypipe.config import DatasetConfig, Settings
from raypipe.engine import Engine, connected
from raypipe.errors import InputError, UsageError
from raypipe.outcome import check_rejects, counted
from raypipe.progress import about, interrupted, say
from raypipe.resolve import located, remember
from raypipe.storage.location import Location
from raypipe.storage.run import Manifest, Plan, Run, slug
from raypipe.storage.usage import recording

if TYPE_CHECKING:
    from raypipe.annotate.labels import Status
    from raypipe.annotate.serve import Site
    from raypipe.datasets.base import ClassRecord
    from raypipe.engine.nodes import Node


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
        self._tally: Counter[str] = Counter()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def engine(self) -> Engine:
        """The Ray cluster, connected when it is first needed."""
        if self._engine is None:
            manager: AbstractContextManager[Engine] = connected(self.settings.engine)
            self._engine = replace(self._stack.enter_context(manager), tally=self._tally)
        return self._engine

    def _nodes(self) -> list[Node]:
        """Return the nodes of the cluster; none before it is joined."""
        from raypipe.engine.nodes import listed

        return listed() if self._engine is not None else []

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

    def split(self, item: str) -> None:
        """Plan to split a cluster of the run further, when it is clustered next.

        Args:
            item: `class/cluster`.

        Raises:
            UsageError: If it is not that.
            InputError: If the run has no such cluster.
        """
        from raypipe.annotate import labels

        name, _, number = item.rpartition("/")
        if not name or not number.isdigit():
            raise UsageError(f"--split {item}: not class/cluster", "as --split boat/2")
        known = labels.clusters_of(self.run).numbers.get(name, [])
        if int(number) not in known:
            raise InputError(
                f"{self.run}: there is no cluster {item}",
                f"the clusters of {name} are {known}" if known else "look at the sheets' index",
            )
        own = self.settings.cluster
        changed = own.model_copy(update={"splits": (*own.splits, item)})
        self.settings = self.settings.model_copy(update={"cluster": changed})

    def sheets(self) -> Manifest:
        """Draw the contact sheets."""
        from raypipe.annotate import flow

        return self._do(
            flow.plan(self.run, self.settings),
            lambda: flow.execute(self.run, self.settings, self.engine),
        )

    def annotate(self, host: str, port: int, opened: Callable[[Site], None]) -> Status:
        """Draw the sheets unless they are, and serve them until Ctrl-C or SIGTERM.

        Args:
            host: Address to listen on.
            port: 0 takes any that is free.
            opened: Told once the server has its port.

        Returns:
            How far the run is answered then.
        """
        from raypipe.annotate import flow, labels, serve

        self.sheets()
        self._stack.close()  # people take their time: a Ray cluster shall not wait for them
        self._engine = None
        site = serve.site(self.run, host=host, port=port)
        opened(site)
        site.serve()
        labels.compact(self.run)
        flow.write_index(self.run)
        return labels.status(self.run)

    def refine(self) -> Manifest:
        """Refine the target images."""
        from raypipe.refine import flow

        target = self.target_set
        verdicts = self.verdicts()
        self._index_target(target)
        return self._do(
            flow.plan(self.run, self.settings, target, verdicts),
            lambda: flow.execute(
                self.run, self.settings, self.engine, target, verdicts, self._asked()
            ),
        )

    def masks(self) -> Manifest:
        """Draw the masks of the refined target at image size."""
        from raypipe.masks import flow

        target = self.target_set
        return self._do(
            flow.plan(self.run, self.settings, target),
            lambda: flow.execute(self.run, self.settings, self.engine, target),
        )

    def retry(self, step: str) -> Manifest:
        """Try the rejects of a finished step again, and nothing else.

        Args:
            step: fit, extract or refine.

        Raises:
            InputError: If the step is not finished with the present settings.
        """
        plan, execute = self._retriable(step)
        state, reasons = self.run.state(plan)
        done = self.run.manifest(plan.step)
        if done is None or state != "done":
            why = f" ({'; '.join(reasons)})" if reasons else ""
            raise InputError(
                f"{self.run}: step {plan.step} is {state}{why}, so there is nothing to retry",
                f"run `raypipe {step} --run {self.run}`",
            )
        if not done.counts["rejects"]:
            say(f"{plan.step}: no rejects, nothing to retry")
            return done
        say(f"{plan.step}: trying {done.counts['rejects']:,} rejects again")
        manifest = execute()
        recovered = done.counts["rejects"] - manifest.counts["rejects"]
        say(f"{plan.step}: {recovered:,} recovered, {counted(manifest.counts)}")
        check_rejects(self.run, manifest, self.settings.engine.max_reject_share)
        return manifest

    def _retriable(self, step: str) -> tuple[Plan, Callable[[], Manifest]]:
        """Return the plan of a step, and how its rejects are tried again."""
        from raypipe.extract import flow as extract
        from raypipe.fit import flow as fit
        from raypipe.refine import flow as refine

        run, settings, target = self.run, self.settings, self.target_set
        if step == "refine":
            verdicts = self.verdicts()
            return refine.plan(run, settings, target, verdicts), lambda: refine.execute(
                run, settings, self.engine, target, verdicts, self._asked(), retry=True
            )
        flow = fit if step == "fit" else extract
        return flow.plan(run, settings), lambda: flow.execute(
            run, settings, self.engine, retry=True
        )

    def evaluate(self) -> Manifest:
        """Compare the target's detections with its truth."""
        from raypipe.evaluate import flow

        target = self.target_set
        if self.settings.target.maps and self.run.manifest(f"index/{target}") is None:
            self._index_target(target)  # other methods' maps need nothing else
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
        if answers.answered < answers.questions:
            say(
                f"{answers.questions - answers.answered} questions are open. "
                f"Answer them with\n  raypipe annotate --run {self.run}\n"
                f"or on the pages in {self.run.step('sheets')}, whose CSV you bring in with\n"
                f"  raypipe labels ingest answers.csv --answered-only --run {self.run}\n"
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
        if self.settings.target.truth:
            return True
        counts = self.run.require(f"index/{self.target_set}").counts
        return bool(counts["boxes"] or counts["masks"])

    def _index_target(self, target: str) -> Manifest:
        from raypipe.datasets.index import read_classes

        searched = self.settings.target.classes
        if target == self.settings.dataset.split and not self._elsewhere and not searched:
            return self._index(self.settings.dataset, target)
        extract = self.run.manifest("extract")  # its classes are the run's
        known = read_classes(self.run, extract.details["index_set"]) if extract else ()
        return self._index(self.target, target, searched, known)

    def _index(
        self, dataset: DatasetConfig, target: str, searched: tuple[str, ...] = (),
        known: Sequence[ClassRecord] = (), *, asked: bool = False,
    ) -> Manifest:  # fmt: skip
        from raypipe.datasets import index

        dataset = located(dataset, self.settings.s3)
        plan = index.plan(dataset, target, searched)
        return self._do(plan, lambda: index.execute(self.run, dataset, plan, known), asked=asked)

    def verdicts(self) -> dict[tuple[str, int], str]:
        """Return the verdict on each cluster that was answered, itself or with its group.

        Raises:
            InputError: If there is none yet, and none shall be guessed.
        """
        from raypipe.annotate import labels

        self.run.require("cluster")
        verdicts = labels.verdicts(self.run)
        if not verdicts and self.settings.refine.unanswered != "guess":
            raise InputError(
                f"{self.run}: no labels yet",
                f"answer with `raypipe annotate --run {self.run}`, or ingest a CSV",
            )
        return verdicts

    def _asked(self) -> dict[str, dict[str, float]]:
        """Return how many questions of each class were answered, and in how many seconds."""
        from raypipe.annotate import labels

        return {"questions": {**labels.questions(self.run)}, "seconds": labels.seconds(self.run)}

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
        unlucky = done.counts.get("failed", 0) if done is not None and state == "done" else 0
        if unlucky:
            say(f"{plan.step}: {unlucky:,} classes failed before, trying them again")
        if done is not None and state == "done" and not fresh and not unlucky:
            if plan.step not in self._told:
                self._told.add(plan.step)
                say(f"{plan.step}: done already, {counted(done.counts)}")
            remember(self.run, self.settings, plan.step)
            check_rejects(self.run, done, self.settings.engine.max_reject_share)
            return done
        if state == "stale":
            say(f"{plan.step}: stale ({'; '.join(reasons)}), doing it again")
        if state == "partial":
            say(f"{plan.step}: going on where it stopped")
        if fresh and self.run.step(plan.step).exists():
            say(f"{plan.step}: --fresh deletes {self.run.step(plan.step)}")
            self.run.step(plan.step).delete()
        with (
            about(str(self.run), plan.step),
            recording(self.run, plan.step, self._nodes, self._tally),
        ):
            manifest = execute()
        if interrupted.is_set():
            raise KeyboardInterrupt
        self._told.add(plan.step)
        remember(self.run, self.settings, plan.step)
        say(f"{plan.step}: {counted(manifest.counts)} in {manifest.seconds:.1f} s")
        check_rejects(self.run, manifest, self.settings.engine.max_reject_share)
        return manifest
