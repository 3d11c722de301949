"""Answers in bulk: seconds and peak memory of `raypipe labels`, for 300,000 answers.

python benchmarks/labels.py                          1,000 classes of 4 clusters, 75 annotators
python benchmarks/labels.py --annotators 5 --json
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from raypipe.annotate.csvfile import COLUMNS
from raypipe.storage.run import Plan, Run, content_hash
from raypipe.tables import CLUSTERS

COMMANDS = (
    ("ingest", "answers.csv"),
    ("ingest", "answers.csv"),  # all of them stand already
    ("status",),
    ("export",),
    ("agreement",),
    ("merge",),
    ("undo",),
    ("log",),
)


def write_run(root: Path, classes: int, clusters: int) -> dict[tuple[str, int], str]:
    """Write a clustered run without regions; return the membership of every question."""
    keys = [
        (f"n{name:08d}", number) for name in range(classes) for number in range(1, clusters + 1)
    ]
    memberships = {key: content_hash([repr(key)]) for key in keys}
    rows = [
        {"class": key[0], "cluster": key[1], "regions": 100, "share": 1 / clusters, "images": 50,
         "image_share": 1.0, "membership": membership, "group": None, "background": 0.1,
         "centroid": [0.0], "exemplars": []}
        for key, membership in memberships.items()
    ]  # fmt: skip
    run = Run.at(str(root))
    run.write(CLUSTERS, CLUSTERS.build(rows), "cluster", "clusters.parquet")
    run.finish(Plan("cluster", {}, {}), {"classes": classes})
    return memberships


def write_csv(path: Path, memberships: dict[tuple[str, int], str], annotators: int) -> int:
    """Write the answers of annotators who agree in nine of ten; return the number of rows."""
    chance = random.Random(0)
    others = {"object": "distractor", "distractor": "object"}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for number in range(annotators):
            for (name, cluster), membership in memberships.items():
                verdict = "object" if cluster % 2 else "distractor"
                if chance.random() < 0.1:
                    verdict = others[verdict]
                seconds = round(chance.uniform(0.5, 6), 2)
                row = [name, cluster, verdict, f"person {number}", seconds, "", membership]
                writer.writerow(row)
    return annotators * len(memberships)


def measured(command: list[str], folder: Path) -> dict[str, float]:
    """Run a command in a process of its own; return seconds, those on a core, and peak MB."""
    started = time.monotonic()
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {child.returncode}")
    return {
        "seconds": round(time.monotonic() - started, 2),
        "core_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mb": round(usage.ru_maxrss / 1024),
    }


def main() -> None:
    """Write a run and a file of answers, and run the commands one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--clusters", type=int, default=4, help="clusters of a class")
    parser.add_argument("--annotators", type=int, default=75)
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(prefix="raypipe-") as work:
        folder = Path(work)
        memberships = write_run(folder / "run", options.classes, options.clusters)
        rows = write_csv(folder / "answers.csv", memberships, options.annotators)
        for words in COMMANDS:
            command = [sys.executable, "-m", "raypipe", "labels", *words, "--run", "run"]
            found.append({"command": " ".join(words), "rows": rows} | measured(command, folder))
            if not options.json:
                print(", ".join(f"{name} {value}" for name, value in found[-1].items()))
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
