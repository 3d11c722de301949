"""Clustering the classes of a large data set: time, memory, and the same clusters after a kill.

Writes a run directory as `raypipe extract` leaves it for 1,000 classes of up to 5,000 regions, with
planted clusters (4.5 GB), then runs `raypipe cluster` in processes of its own, as a user would.

    python benchmarks/classes.py                         1 and 2 workers: about an hour
    python benchmarks/classes.py --kill-at 0.5           and a driver that is killed half way
    python benchmarks/classes.py --classes 40 --regions 500 --workers 2 --json
    python benchmarks/classes.py --work DIR --only write                 then, on the same data:
    python benchmarks/classes.py --work DIR --only run --workers 2
    python benchmarks/classes.py --work DIR --only kill --kill-at 0.5    compares with that run
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import driver
from benchmarks.driver import Drive, assignments_hash, drive, written
from benchmarks.options import names_of, numbers
from benchmarks.planted_run import Spec, write_run
from raypipe.storage.run import Run

FLAT = 1.1
"""The driver may need this share of what it needed when a tenth of the classes was finished."""

_PARTS = ("write", "run", "kill")
_UNDISTURBED = "undisturbed.json"

Report = dict[str, Any]

console = Console(stderr=True, highlight=False)


def write(spec: Spec, run: Path) -> Report:
    """Write the run, unless it is there; return what is in it."""
    console.print(f"writing {spec.classes:,} classes")
    started = time.monotonic()
    manifest = write_run(Run.at(str(run)), spec)
    size = sum(place.stat().st_size for place in (run / "extract").rglob("*.parquet"))
    return {
        "seconds": round(time.monotonic() - started, 1),
        "mb": round(size / 1e6, 1),
        "rows": manifest.counts["regions"],
        "images": manifest.counts["images"],
    }


def run_once(spec: Spec, run: Path, workers: int, settings: list[str]) -> Report:
    """Cluster from the start with so many workers."""
    forget(run)
    console.print(f"clustering with {workers} workers")
    found = drive(driver.command(run, workers, settings), assignments(run), run.parent / "log")
    complete(spec, run)
    manifest = json.loads((run / "cluster" / "manifest.json").read_text())
    first, last = (found.driver_at(share * spec.classes) for share in (0.1, 1.0))
    return measures(found, spec.classes) | {
        "workers": workers,
        "step_seconds": manifest["seconds"],
        "counts": manifest["counts"],
        "driver_mb_at_10_percent": first,
        "driver_mb_at_100_percent": last,
        "driver_ratio": round(last / first, 3),
        "hash": assignments_hash(assignments(run)),
    }


def measures(found: Drive, classes: int) -> Report:
    """Return the numbers of a drive that finished so many classes."""
    return {
        "seconds": round(found.seconds, 1),
        "classes_per_second": round(classes / found.seconds, 3),
        "peak_mb": round(found.peak_mb, 1),
        "driver_mb": round(found.driver_mb, 1),
        "object_store_mb": round(found.object_store_mb, 1),
    }


def kill_and_go_on(
    spec: Spec, run: Path, workers: int, settings: list[str], share: float, expected: str
) -> Report:
    """Kill a driver with its Ray at a share of the classes, run the same command again, compare.

    Args:
        spec: What is in the run.
        run: The run directory.
        workers: Of both drivers.
        settings: Of both drivers.
        share: Of the classes that are finished at the kill, 0..1.
        expected: Hash of the assignments of an undisturbed run.
    """
    forget(run)
    words, goal = driver.command(run, workers, settings), math.ceil(share * spec.classes)
    console.print(f"clustering with {workers} workers, killed at {goal:,} classes")
    killed = drive(words, assignments(run), run.parent / "log", kill_at=goal)
    before = written(assignments(run))
    finished = (run / "cluster" / "manifest.json").exists()
    console.print(f"killed at {len(before):,} classes, going on")
    resumed = drive(words, assignments(run), run.parent / "log")
    complete(spec, run)
    after, found = written(assignments(run)), assignments_hash(assignments(run))
    kept = sum(after.get(name) == moment for name, moment in before.items())
    return measures(resumed, spec.classes - kept) | {
        "workers": workers,
        "share": share,
        "classes_at_kill": len(before),
        "counted_as_done_at_kill": finished,
        "classes_kept": kept,
        "seconds_before_kill": round(killed.seconds, 1),
        "hash": found,
        "same": found == expected,
    }


def assignments(run: Path) -> Path:
    """Return the folder that gets a file a class."""
    return run / "cluster" / "assignments"


def forget(run: Path) -> None:
    """Delete what an earlier clustering left."""
    shutil.rmtree(run / "cluster", ignore_errors=True)
    (run / "settings.json").unlink(missing_ok=True)


def complete(spec: Spec, run: Path) -> None:
    """End the program if a finished clustering lacks a class."""
    if (count := len(written(assignments(run)))) != spec.classes:
        sys.exit(f"{spec.classes:,} classes were to be clustered, {count:,} were")


def measure(options: argparse.Namespace, work: Path) -> Report:
    """Do the parts that were asked for."""
    spec = Spec(
        options.classes, options.regions, options.bank, options.dims, options.shard, options.seed
    )
    run = work / "run"
    report: Report = {"spec": vars(spec), "write": write(spec, run), "runs": []}
    if "run" in options.only:
        for workers in options.workers:
            report["runs"].append(run_once(spec, run, workers, options.set))
        hashes = [one["hash"] for one in report["runs"]]
        report["same_whatever_the_workers"] = len(set(hashes)) == 1
        content = {"spec": vars(spec), "settings": options.set, "hash": hashes[-1]}
        (work / _UNDISTURBED).write_text(json.dumps(content))
    if "kill" in options.only and options.kill_at is not None:
        expected = undisturbed(work, spec, options.set)
        report["kill"] = kill_and_go_on(
            spec, run, options.workers[-1], options.set, options.kill_at, expected
        )
    return report


def undisturbed(work: Path, spec: Spec, settings: list[str]) -> str:
    """Return the hash of the last undisturbed run on the same data with the same settings."""
    place = work / _UNDISTURBED
    found = json.loads(place.read_text()) if place.exists() else {}
    if (found.get("spec"), found.get("settings")) != (vars(spec), settings):
        sys.exit("a killed run is compared with an undisturbed one: do --only run first")
    return str(found["hash"])


def table(report: Report) -> Table:
    """Draw the undisturbed runs."""
    spec, rows = report["spec"], report["write"]["rows"]
    title = "{classes:,} classes of at most {regions:,} regions × {dims}".format(**spec)
    drawn = Table(title=f"{title}, {rows:,} rows with the bank; MB")
    headings = ("workers", "seconds", "classes/s", "all", "store", "driver", "at 10 %", "at 100 %")
    for heading in headings:
        drawn.add_column(heading, justify="right", no_wrap=True)
    for one in report["runs"]:
        drawn.add_row(
            str(one["workers"]),
            f"{one['seconds']:,.1f}",
            f"{one['classes_per_second']:.2f}",
            f"{one['peak_mb']:,.0f}",
            f"{one['object_store_mb']:,.0f}",
            f"{one['driver_mb']:,.0f}",
            f"{one['driver_mb_at_10_percent']:,.0f}",
            f"{one['driver_mb_at_100_percent']:,.0f}",
        )
    return drawn


def notes(report: Report) -> list[str]:
    """Return what the table does not say."""
    lines = []
    for one in report["runs"]:
        flat = "flat" if one["driver_ratio"] <= FLAT else f"grows by more than {FLAT}"
        lines.append(f"{one['workers']} workers: driver × {one['driver_ratio']:.2f}, {flat}")
    if len(report["runs"]) > 1:
        same = report["same_whatever_the_workers"]
        lines.append(f"assignments {'are the same' if same else 'DIFFER'} whatever the workers")
    if kill := report.get("kill"):
        lines.append(
            f"killed at {kill['classes_at_kill']:,} classes after {kill['seconds_before_kill']} s; "
            f"{kill['classes_kept']:,} kept, the others in {kill['seconds']} s; "
            f"assignments {'are the same' if kill['same'] else 'DIFFER'}"
        )
    return lines


def _share(text: str) -> float:
    if not 0 < (share := float(text)) < 1:
        raise argparse.ArgumentTypeError("a share of the classes lies between 0 and 1")
    return share


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("--classes", type=int, default=Spec.classes)
    made.add_argument("--regions", type=int, default=Spec.regions, help="of a class, at most")
    made.add_argument("--bank", type=int, default=Spec.bank, help="background cells of a class")
    made.add_argument("--dims", type=int, default=Spec.dims, help="dimensions of a feature")
    made.add_argument("--shard", type=int, default=Spec.shard, help="images of a shard, at most")
    made.add_argument("--seed", type=int, default=Spec.seed)
    made.add_argument("--workers", type=numbers, default=[1, 2], metavar="N[,N]",
                      help="a run with each; the kill is with the last")  # fmt: skip
    made.add_argument("--kill-at", type=_share, metavar="SHARE", help="of the finished classes")
    made.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                      help="a setting of raypipe, as cluster.neighbors=10; repeatable")  # fmt: skip
    made.add_argument("--only", type=names_of(_PARTS), default=list(_PARTS), metavar="PART[,PART]",
                      help=", ".join(_PARTS))  # fmt: skip
    made.add_argument("--work", type=Path, help="folder to work in, kept; else a temporary one")
    made.add_argument("--json", action="store_true", help="print JSON")
    return made


def main() -> None:
    """Measure; print a table or JSON."""
    options = parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="raypipe-benchmark-") as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        report = measure(options, work)
    if options.json:
        print(json.dumps(report))
        return
    if report["runs"]:
        Console().print(table(report))
    for line in notes(report):
        print(line)


if __name__ == "__main__":
    main()
