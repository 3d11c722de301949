"""Running `raypipe cluster` as a user would: watching it, killing it, comparing what it wrote."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from benchmarks.measure import MemoryWatch

_ROOT = Path(__file__).resolve().parent.parent
_EVERY = 0.1  # seconds between two looks at what is there
_ORDER = ("class", "image_id", "row", "col", "cluster")


@dataclass(frozen=True)
class Sample:
    """A moment of a drive.

    Attributes:
        seconds: Since the process was started.
        classes: Finished, those of an earlier drive included.
        driver_mb: Proportional set size of the driver.
    """

    seconds: float
    classes: int
    driver_mb: float


@dataclass(frozen=True)
class Drive:
    """A life of a driver, start-up and imports included.

    Attributes:
        seconds: How long it was.
        peak_mb: Proportional set size of all its processes together, at its highest.
        driver_mb: Of the driver alone, at its highest.
        object_store_mb: Shared memory that Ray's object store has touched.
        samples: What was seen at each number of finished classes.
    """

    seconds: float
    peak_mb: float
    driver_mb: float
    object_store_mb: float
    samples: list[Sample]

    def driver_at(self, classes: float) -> float:
        """Return the driver's memory when so many classes were finished first, MB."""
        return next(one.driver_mb for one in self.samples if one.classes >= classes)


def command(run: Path, workers: int, settings: list[str]) -> list[str]:
    """Return what a user types.

    Args:
        run: The run directory.
        workers: CPUs of the local Ray cluster: a class takes one.
        settings: Further ones, as `cluster.neighbors=10`.
    """
    words = [sys.executable, "-m", "raypipe", "cluster", "--run", str(run)]
    words += ["--address", "local", "--cpus", str(workers)]
    return words + [word for setting in settings for word in ("--set", setting)]


def drive(words: list[str], assignments: Path, log: Path, kill_at: int | None = None) -> Drive:
    """Run a command to its end, or kill it with all that it started.

    Args:
        words: The command.
        assignments: Folder in which a file appears for each finished class.
        log: Gets the command's words.
        kill_at: Kill once so many classes are finished.

    Raises:
        SystemExit: If the command fails, or ends before it could be killed.
    """
    samples: list[Sample] = []
    started = time.monotonic()
    # Ray's folder goes with this one: a killed driver leaves it. Ray's sockets want a short path.
    with tempfile.TemporaryDirectory(prefix="rp-", ignore_cleanup_errors=True) as scratch:
        env = os.environ | {"TMPDIR": scratch, "PYTHONPATH": str(_ROOT)}
        with log.open("ab") as file:
            child = subprocess.Popen(words, stdout=file, stderr=file, env=env)
        with MemoryWatch(child.pid) as watch:
            killed = False
            while child.poll() is None and not killed:
                finished = _finished(assignments)
                if kill_at is not None and finished >= kill_at:
                    kill(psutil.Process(child.pid))
                    killed = True
                elif watch.driver_now_mb and (not samples or finished > samples[-1].classes):
                    samples.append(_sample(started, finished, watch))
                time.sleep(_EVERY)
            status = child.wait()
        samples.append(_sample(started, _finished(assignments), watch))
    if kill_at is not None and not killed:
        sys.exit(f"{' '.join(words)}: ended before {kill_at:,} classes were finished")
    if status and not killed:
        sys.exit(f"{' '.join(words)}: exit status {status}\n{log.read_text()[-4000:]}")
    seconds = samples[-1].seconds
    return Drive(seconds, watch.peak_mb, watch.driver_mb, watch.object_store_mb, samples)


def _finished(assignments: Path) -> int:
    """Return how many classes are finished; cheap, for it is asked ten times a second."""
    places = assignments.iterdir() if assignments.is_dir() else []
    return sum(place.suffix == ".parquet" for place in places)


def _sample(started: float, classes: int, watch: MemoryWatch) -> Sample:
    return Sample(round(time.monotonic() - started, 2), classes, round(watch.driver_now_mb, 1))


def kill(driver: psutil.Process) -> None:
    """SIGKILL a driver, then each process that it started; none of anybody else's."""
    below = driver.children(recursive=True)
    driver.kill()
    for process in below:
        with suppress(psutil.NoSuchProcess):
            late = process.children(recursive=True)
            process.kill()
            for child in late:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
    psutil.wait_procs(below, timeout=10)


def written(assignments: Path) -> dict[str, int]:
    """Return when each finished class's file was written, nanoseconds, by its name."""
    if not assignments.is_dir():
        return {}
    return {place.name: place.stat().st_mtime_ns for place in assignments.glob("*.parquet")}


def assignments_hash(assignments: Path) -> str:
    """Hash class, image, row, column and cluster of every region, in this order.

    One class in memory at a time; a class that stands twice changes the hash.
    """
    digest = hashlib.sha256()
    for name in sorted(written(assignments)):
        table = pq.read_table(assignments / name, columns=list(_ORDER))
        ordered = table.sort_by([(column, "ascending") for column in _ORDER])
        sink = pa.BufferOutputStream()
        csv.write_csv(ordered, sink)
        digest.update(sink.getvalue())
    return digest.hexdigest()
