"""Running a contender in a process of its own, watching its memory, and counting its rate."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

_EVERY = 0.5
"""Seconds between two looks at the memory."""

_SHARE = 0.02
"""Looking takes at most this share of a core: the page tables of ten processes take 25 ms."""

_MB = 1e6


@dataclass(frozen=True)
class Task:
    """The work, the same for every contender.

    Attributes:
        network: torchvision's name.
        weights: State dict.
        input_size: Width and height of the network's input, pixels.
        root: ILSVRC tree with the images.
        images: How many there are.
        sample: How many a slow contender works on.
        seconds: How long a measurement runs that could go on for ever.
        threads: CPU cores to use.
        work: Folder for what the contender writes.
    """

    network: str
    weights: str
    input_size: int
    root: str
    images: int
    sample: int
    seconds: float
    threads: int
    work: str

    def paths(self) -> list[Path]:
        """Return the images, class by class, as a listing gives them."""
        return sorted(Path(self.root, "Data", "CLS-LOC", "train").glob("*/*.JPEG"))

    def labels(self) -> dict[str, int]:
        """Return the network's output for every WordNet id."""
        lines = Path(self.root, "LOC_synset_mapping.txt").read_text(encoding="utf-8").splitlines()
        return {line.split()[0]: number for number, line in enumerate(lines)}


@dataclass(frozen=True)
class Outcome:
    """What a contender reached.

    Attributes:
        images: Images that the rate is over.
        images_per_second: In the steady state: without start-up.
        arrangement: What was chosen for it, in words.
        details: Further numbers.
    """

    images: int
    images_per_second: float
    arrangement: str
    details: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """An outcome, and what was seen from outside.

    Attributes:
        outcome: As the contender said.
        wall_seconds: Life of the process, imports and start-up included.
        peak_mb: Proportional set size of all processes together, at its highest.
        driver_mb: Of the contender's first process.
        object_store_mb: Shared memory that Ray's object store has touched; 0 without Ray.
    """

    outcome: Outcome
    wall_seconds: float
    peak_mb: float
    driver_mb: float
    object_store_mb: float


def steady_rate(finished: Sequence[tuple[float, int]], head: int = 1, tail: int = 0) -> float:
    """Return the units a second between two moments at which the work was in the same state.

    Args:
        finished: When each piece was finished, in seconds, and of how many units it was.
        head: Pieces to leave out at the start; the last of them starts the clock.
        tail: Pieces to leave out at the end; the last before them stops it.

    Raises:
        ValueError: If too few pieces are left.
    """
    ordered = sorted(finished)
    ordered = ordered[: len(ordered) - tail]
    if head < 1 or len(ordered) <= head:
        raise ValueError(f"{len(finished)} pieces are too few to leave out {head} and {tail}")
    units = sum(size for _, size in ordered[head:])
    return units / max(ordered[-1][0] - ordered[head - 1][0], 1e-9)


def in_own_process(
    script: Path, name: str, task: Task, settings: dict[str, Any]
) -> tuple[dict[str, Any], MemoryWatch]:
    """Run one contender, or its calibration.

    Args:
        script: Understands `--contender NAME --task JSON` and prints JSON, last.
        name: The contender.
        task: The work.
        settings: What its calibration chose.

    Returns:
        What it printed, and what its memory was.
    """
    command = [sys.executable, str(script), "--contender", name]
    command += ["--task", json.dumps({"task": asdict(task), "settings": settings})]
    log = Path(task.work) / f"{name}.log"
    with log.open("w") as words:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=words, text=True)
        with MemoryWatch(child.pid) as watch:
            printed = child.communicate()[0]
    if child.returncode:
        sys.exit(f"{name} failed:\n{printed[-2000:]}{log.read_text()[-4000:]}")
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found, watch


def measured(script: Path, name: str, task: Task, settings: dict[str, Any]) -> Measured:
    """Run one contender and return what it reached; see `in_own_process`."""
    started = time.monotonic()
    found, watch = in_own_process(script, name, task, settings)
    seconds = time.monotonic() - started
    return Measured(
        Outcome(**found), seconds, watch.peak_mb, watch.driver_mb, watch.object_store_mb
    )


class MemoryWatch:
    """Follows the memory of a process and all its descendants while the context is open.

    A proportional set size counts a page that n processes share as 1/n in each, so that the sum
    counts it once. Ray's own processes are descendants too: the driver starts them.

    Args:
        pid: The process.

    Attributes:
        peak_mb: Highest sum.
        driver_mb: Highest of the process alone.
        driver_now_mb: Of the process alone at the last look.
        object_store_mb: Shared memory that the object store has touched: its highest use, for it
            gives no page back.
    """

    def __init__(self, pid: int) -> None:
        self.peak_mb = self.driver_mb = self.driver_now_mb = self.object_store_mb = 0.0
        self._root = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        pause = _EVERY
        while not self._over.wait(pause):
            started = time.thread_time()
            self._look()
            pause = max(_EVERY, (time.thread_time() - started) / _SHARE)

    def _look(self) -> None:
        try:
            descendants = self._root.children(recursive=True)
        except psutil.NoSuchProcess:
            return
        own = _pss(self._root)
        self.driver_now_mb = own or self.driver_now_mb  # 0: it has just ended
        self.driver_mb = max(self.driver_mb, own)
        self.peak_mb = max(self.peak_mb, own + sum(_pss(process) for process in descendants))
        for process in descendants:
            self.object_store_mb = max(self.object_store_mb, _object_store(process))


def _pss(process: psutil.Process) -> float:
    """Return the proportional set size in MB; 0 if the process is gone."""
    try:
        return float(process.memory_full_info().pss) / _MB
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0


def _object_store(process: psutil.Process) -> float:
    """Return the size of the object store that a process holds, in MB; 0 if it holds none.

    It is a file in /dev/shm that is deleted while open, so it is found through its holder. Its
    blocks are the pages that were ever written.
    """
    try:
        if process.name() != "raylet":
            return 0.0
        handles = list(Path(f"/proc/{process.pid}/fd").iterdir())
    except (psutil.NoSuchProcess, OSError):
        return 0.0
    blocks = 0
    for handle in handles:
        try:
            if str(handle.readlink()).startswith("/dev/shm/plasma"):
                blocks += handle.stat().st_blocks
        except OSError:
            continue  # closed in the meantime
    return blocks * 512 / _MB
