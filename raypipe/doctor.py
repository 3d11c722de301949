"""What commonly goes wrong in a long run, looked at before it starts; what is made is removed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from raypipe.errors import (
    ClusterUnavailableError,
    ConfigError,
    InputError,
    RaypipeError,
)

if TYPE_CHECKING:
    from raypipe.config import Settings
    from raypipe.engine.probe import NodeFacts

State = Literal["ok", "warning", "failed", "not checked"]

_SHM = 0.3  # of a node's memory Ray takes for its object store, in shared memory
_LEAST_SHM = 1 << 30
_LEAST_DISK = 20 << 30  # bytes: spilled objects of one node, and Ray's logs
_LEAST_FILES = 8192  # Ray's own advice for a node is 65,536; below this, workers fail
_MOST_SKEW = 5.0  # seconds; S3 refuses requests that are minutes apart
_PULL_WITHIN = 60.0  # seconds for a registry to answer


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        what: It.
        state: How it is.
        detail: What was seen.
        remedy: What to do, unless it is well.
        code: Exit code that a failure means.
    """

    what: str
    state: State
    detail: str
    remedy: str = ""
    code: int = 0


def examine(settings: Settings, cluster_file: Path) -> Iterator[Check]:
    """Look at everything that the settings name.

    Args:
        settings: Of the run to be.
        cluster_file: Its image is looked for in its registry.

    Yields:
        Each check as it is made.
    """
    yield from _storage(settings)
    yield from _dataset(settings)
    yield from _weights(settings)
    yield from _image(cluster_file)
    yield from _cluster(settings)


def _storage(settings: Settings) -> Iterator[Check]:
    """Write, read, replace and delete an object where the run is to be."""
    from raypipe.storage.location import Location

    what = "run directory"
    if not settings.run:
        yield Check(what, "not checked", "none named", "name it with --run")
        return

    def probe() -> str:
        root = Location.of(settings.run)
        place, existed = root / "doctor.probe", root.exists()
        for content in (b"first", b"second"):
            place.write_bytes(content)
            if place.read_bytes() != content:
                raise InputError(f"{place}: what was written is not what is read",
                                 "use a store that shows a write at once")  # fmt: skip
        place.delete()
        if not existed and not root.names():
            root.delete()
        return f"{root}: can be written, replaced and deleted"

    yield _made(what, probe)


def _dataset(settings: Settings) -> Iterator[Check]:
    """See whether the root of the dataset can be read."""
    from raypipe.resolve import located
    from raypipe.storage.location import Location

    what = "dataset"
    if settings.dataset == type(settings.dataset)():
        yield Check(what, "not checked", "none named", "name it with --config or --dataset")
        return

    def probe() -> str:
        root = Location.of(located(settings.dataset, settings.s3).root)
        if settings.dataset.name == "toyworld":
            return "toyworld: drawn when it is needed"
        if not root.exists():
            raise InputError(f"{root}: not found", "check the path and the rights on it")
        return f"{settings.dataset.name} at {root}: there"

    yield _made(what, probe)


def _weights(settings: Settings) -> Iterator[Check]:
    """Load the network, from its file, torch's cache or torchvision's server."""

    def probe() -> str:
        from raypipe.localizers import weights

        found = weights.load(settings.localizer)
        size = sum(item.numel() for item in found.network.parameters()) / 1e6
        name = settings.localizer
        return f"{name.architecture} with {name.weights}: {size:.1f} million parameters"

    yield _made("weights", probe)


def _image(file: Path) -> Iterator[Check]:
    """Ask the registry for the cluster's image."""
    what = "image"
    if not file.exists():
        yield Check(what, "not checked", f"no {file} here", "name it with --cluster-file")
        return
    from raypipe.cloud import clusterfile
    from raypipe.cloud.images import PLACEHOLDER

    image = clusterfile.read(str(file)).image
    if PLACEHOLDER in image:
        yield Check(what, "warning", f"{image}: {PLACEHOLDER} stands for your registry", "fill in")
        return
    docker = shutil.which("docker")
    if docker is None:
        yield Check(what, "not checked", f"{image}: no docker here to ask with",
                    f"docker manifest inspect {image}, where there is one")  # fmt: skip
        return
    try:
        asked = subprocess.run(  # noqa: S603 -- the image's name is one word of a list
            [docker, "manifest", "inspect", image],
            capture_output=True, text=True, timeout=_PULL_WITHIN, check=False,
        )  # fmt: skip
        said = (asked.stderr.strip().splitlines() or ["no reason given"])[-1]
        failed = asked.returncode != 0
    except subprocess.TimeoutExpired:
        said, failed = f"no answer in {_PULL_WITHIN:.0f} s", True
    if failed:
        yield Check(what, "failed", f"{image}: {said}", "push it, or log in to its registry",
                    ConfigError.exit_code)  # fmt: skip
    else:
        yield Check(what, "ok", f"{image}: in its registry")


def _cluster(settings: Settings) -> Iterator[Check]:
    """Join the cluster, or start a local one, and ask each of its nodes."""
    from raypipe.engine import connected, probe

    try:
        with connected(settings.engine) as engine:
            found, silent = probe.nodes()
            on_gpu = engine.on_gpu
    except RaypipeError as error:
        yield Check("Ray cluster", "failed", error.message, error.remedy, error.exit_code)
        return
    gpus = sum(facts.gpus for facts in found)
    yield Check("Ray cluster", "ok", f"nodes that answer: {len(found)}; GPUs: {gpus:g}")
    if silent:
        yield Check("Ray cluster", "failed", f"nodes that do not answer: {silent}",
                    "look at them in the dashboard; `ray status`",
                    ClusterUnavailableError.exit_code)  # fmt: skip
    if on_gpu and not gpus:
        yield Check("GPUs", "warning", "none yet: a run waits until the autoscaler brings one",
                    "--set engine.device=cpu goes without")  # fmt: skip
    ours = probe.here(0.0, 0.0)
    for facts in found:
        yield from _node(facts, ours)


def _node(facts: NodeFacts, ours: NodeFacts) -> Iterator[Check]:
    """Judge what a node has."""
    what, code = f"node {facts.node}", ClusterUnavailableError.exit_code
    problems = 0
    if facts.python != ours.python:
        problems += 1
        yield Check(what, "failed", f"Python {facts.python} there, {ours.python} here",
                    "use the same on all: pickles do not cross", code)  # fmt: skip
    for name, own in ours.packages.items():
        theirs = facts.packages.get(name, "")
        if theirs != own:
            problems += 1
            state: State = "failed" if name in {"raypipe", "ray"} else "warning"
            yield Check(what, state, f"{name} {theirs or 'is missing'} there, {own} here",
                        "build the image from this version's lock file",
                        code if state == "failed" else 0)  # fmt: skip
    limits = (
        (facts.gpus > facts.cuda, f"Ray counts {facts.gpus:g} GPUs, torch can use {facts.cuda}",
         "the node needs NVIDIA's driver, the container its runtime"),
        (0 < facts.shm < _LEAST_SHM, f"{facts.shm / 1e9:.1f} GB of shared memory",
         f"docker run --shm-size, to {_SHM:.0%} of the memory"),
        (facts.disk < _LEAST_DISK, f"{facts.disk / 1e9:.0f} GB free for spilled objects",
         "a larger disk, or --object-spilling-directory on one"),
        (facts.files < _LEAST_FILES, f"{facts.files} open files allowed", "ulimit -n 65536"),
        (abs(facts.clock - facts.asked) > _MOST_SKEW,
         f"its clock is {facts.clock - facts.asked:+.0f} s off", "run chrony or ntpd there"),
    )  # fmt: skip
    for wrong, detail, remedy in limits:
        if wrong:
            problems += 1
            yield Check(what, "warning", detail, remedy)
    if not problems:
        yield Check(what, "ok", f"{facts.gpus:g} GPUs, {facts.disk / 1e9:.0f} GB free, "
                    f"{facts.files} files, Python {facts.python}")  # fmt: skip


def _made(what: str, probe: Callable[[], str]) -> Check:
    """Run a probe; what it raises is what is wrong."""
    try:
        return Check(what, "ok", probe())
    except RaypipeError as error:
        return Check(what, "failed", error.message, error.remedy, error.exit_code)
