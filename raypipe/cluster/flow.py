"""Cluster: one task a class; each reads its regions, clusters them and writes their tables."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from raypipe.cluster.affinity import EXACT_UP_TO
from raypipe.cluster.assign import cluster
from raypipe.cluster.group import grouped
from raypipe.cluster.rows import class_tables
from raypipe.cluster.split import split
from raypipe.config import ClusterConfig, Settings
from raypipe.engine import Engine, Failed, Needs
from raypipe.errors import ConfigError, InputError
from raypipe.progress import say, tracking
from raypipe.schema import Table
from raypipe.storage.ahead import in_order
from raypipe.storage.clusters import PARTS, STEP, class_part, class_plan
from raypipe.storage.parts import Parts, remove_others
from raypipe.storage.regions import RegionFiles, read_regions, region_files
from raypipe.storage.run import Manifest, Plan, Run, content_hash
from raypipe.tables import CLUSTERS, SHARED, SPECTRA

_SLOWEST = 3  # classes named at the end
_BASE_MEMORY = 400_000_000  # bytes of a worker with its libraries


def plan(run: Run, settings: Settings) -> Plan:
    """Say what clustering would do."""
    upstream = {"extract": run.require("extract").identity}
    return Plan(STEP, settings.cluster.identity(), upstream)


def execute(run: Run, settings: Settings, engine: Engine) -> Manifest:
    """Cluster every class that has regions and is not clustered yet.

    A class that fails is named, and the others go on; the next execution tries it again.

    Raises:
        InputError: If no class has regions, or all of them fail.
        ConfigError: If a setting names a class or a cluster that does not exist.
    """
    step, config = plan(run, settings), settings.cluster
    files = region_files(run)
    _check(config, files, run)
    run.begin(step)

    # 1. One task a class, the largest first; each writes its own tables.
    done = _done(run, step, files)
    left = sorted(files.keys() - done, key=lambda name: (-files[name].regions, name))
    width = (run.step("extract") / "projection.parquet").count_rows()
    work = ClusterClass(run, step, config, files, width, engine.on_gpu)
    failed: dict[str, str] = {}
    seconds: dict[str, float] = {}
    with tracking("clustering", len(files), "classes") as tracker:
        tracker.skip(len(done))
        for name, result in engine.tasks(
            cluster_class, left, work, needs=work.needs, isolated=True
        ):
            if isinstance(result, Failed):
                failed[name] = result.reason
                say(f"cluster: class {name} failed: {result.reason}")
            else:
                seconds[name] = result
            slowest = max(seconds, key=lambda name: seconds[name], default="")
            tracker.advance(1, f"slowest {slowest} {seconds[slowest]:.0f} s" if slowest else "")
    for name in sorted(seconds, key=lambda name: -seconds[name])[:_SLOWEST]:
        say(f"cluster: {name}: {files[name].regions:,} regions in {seconds[name]:.1f} s")

    # 2. Their summaries put together; with scope all, look-alike clusters grouped.
    names = sorted(files.keys() - failed.keys())
    if not names:
        raise InputError(f"{run}: no class could be clustered ({min(failed.values())})",
                         "see the lines above")  # fmt: skip
    clusters, spectra = _merged(run, step, CLUSTERS, names), _merged(run, step, SPECTRA, names)
    groups = 0
    if config.scope == "all":
        own = clusters.num_rows
        clusters = grouped(clusters, config)
        groups = clusters.num_rows - own
    run.write(CLUSTERS, clusters, STEP, "clusters.parquet")
    run.write(SPECTRA, spectra, STEP, "spectra.parquet")

    # 3. Nothing left of other settings; the manifest, last.
    for table in PARTS:
        kept = {class_part(run, step, table, name).name for name in names}
        remove_others(Parts(run, step, table.name).folder, kept)
    counts = {
        "classes": len(names),
        "clusters": clusters.num_rows - groups,
        **({"groups": groups} if groups else {}),
        "regions": sum(spectra["regions"].to_pylist()),
        **({"failed": len(failed)} if failed else {}),
    }
    return run.finish(step, counts, {"failed": failed, "content": content_hash(failed)})


@dataclass(frozen=True)
class ClusterClass:
    """What the task of a class needs to know; small and picklable.

    Attributes:
        run: The run directory.
        step: The plan of clustering.
        config: Its settings.
        files: Where each class's regions are.
        width: Dimensions of the features.
        on_gpu: Whether there are, or will be, GPUs to search neighbours on.
    """

    run: Run
    step: Plan
    config: ClusterConfig
    files: Mapping[str, RegionFiles]
    width: int
    on_gpu: bool

    def searches_on_gpu(self, name: str) -> bool:
        """Whether a class is large enough for a GPU."""
        return self.on_gpu and self.files[name].regions > EXACT_UP_TO

    def needs(self, name: str) -> Needs:
        """Estimate what the task of a class asks for."""
        regions = self.files[name].regions
        # Features as stored and as floats, centred, and sorted into cells; then neighbours, the
        # graph in both directions, normalised too, and the eigensolver's blocks.
        each = self.width * 18 + self.config.neighbors * 120 + (self.config.max_clusters + 9) * 48
        return Needs(
            gpus=1.0 if self.searches_on_gpu(name) else 0.0, memory=_BASE_MEMORY + regions * each
        )


def cluster_class(name: str, work: ClusterClass) -> float:
    """Cluster one class, write its tables and return the seconds it took."""
    started = time.monotonic()
    config = work.config
    own = class_plan(work.step, name).config
    regions = read_regions(work.files[name].places, name, background=False)
    bank = read_regions(work.files[name].places, name, background=True)
    found = cluster(
        regions.features,
        config,
        bank=bank.features,
        clusters=own["clusters"],
        gpu=work.searches_on_gpu(name),
    )
    for number in own["splits"]:
        found = split(found, number, config)
    tables = class_tables(name, regions, bank, found, config)
    for table in PARTS:  # the last one says that the class is done
        class_part(work.run, work.step, table, name).write_table(tables[table.name])
    return time.monotonic() - started


def _check(config: ClusterConfig, files: Mapping[str, RegionFiles], run: Run) -> None:
    """Raise if there is nothing to cluster, or the settings name what is not there."""
    if not files:
        raise InputError(
            f"{run}: extract kept no regions", "look at extract/rejects and extract again"
        )
    if config.scope == "all" and SHARED in files:
        raise InputError(
            f"{run}: a class is called {SHARED}, which stands for all classes", "rename the class"
        )
    named = {*config.clusters, *(split.rpartition("/")[0] for split in config.splits)}
    for name in sorted(named - files.keys() - {SHARED}):
        raise ConfigError(
            f"cluster: there is no class {name} with regions",
            f"the classes are {', '.join(sorted(files)[:10])}{', …' if len(files) > 10 else ''}",
        )


def _done(run: Run, step: Plan, names: Iterable[str]) -> set[str]:
    """Return the classes that are clustered already."""
    written = set(Parts(run, step, SPECTRA.name).folder.names())
    return {name for name in names if class_part(run, step, SPECTRA, name).name in written}


def _merged(run: Run, step: Plan, table: Table, names: Sequence[str]) -> pa.Table:
    """Return the rows of all classes."""
    places = (class_part(run, step, table, name) for name in names)
    return pa.concat_tables(
        in_order(lambda place: table.check(place.read_table(), str(place)), places, run.root)
    )
