"""The annotation server: milliseconds from sending an answer until the next question is known.

python benchmarks/annotate.py                        1,000 classes of 4 clusters, 1 annotator
python benchmarks/annotate.py --annotators 3 --json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.labels import write_run
from raypipe.annotate import flow
from raypipe.config import Settings
from raypipe.storage.run import Run

Memberships = dict[tuple[str, int], str]


def answer_all(url: str, who: str, memberships: Memberships, times: list[float]) -> None:
    """Answer every question in the order that the server gives; add the seconds of each."""
    base = url.partition("/?")[0]
    with httpx.Client(base_url=base, headers={"origin": base}, timeout=60) as client:
        client.get(url)
        state = client.get("/api/state", params={"annotator": who}).json()
        while following := state["next"]:
            key = (following["class"], following["cluster"])
            said = {"annotator": who, "class": key[0], "cluster": key[1], "verdict": "object",
                    "membership": memberships[key], "seconds": 2.0, "note": ""}  # fmt: skip
            started = time.perf_counter()
            state = client.post("/api/answer", json=said).raise_for_status().json()
            times.append(time.perf_counter() - started)


def main() -> None:
    """Start a server and answer everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--clusters", type=int, default=4, help="clusters of a class")
    parser.add_argument("--annotators", type=int, default=1, help="who answer at the same time")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    times: list[float] = []
    with tempfile.TemporaryDirectory(prefix="raypipe-") as work:
        run = Run.at(f"{work}/run")
        memberships = write_run(Path(work) / "run", options.classes, options.clusters)
        run.finish(flow.plan(run, Settings()), {"classes": options.classes})  # pages are not asked
        words = ["annotate", "--run", str(run), "--no-open", "--json", "--port", "0"]
        started = time.perf_counter()
        server = subprocess.Popen(
            [sys.executable, "-m", "raypipe", *words], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline())["url"]
            ready = time.perf_counter() - started
            people = [
                threading.Thread(target=answer_all, args=(url, f"p{n}", memberships, times))
                for n in range(options.annotators)
            ]
            for person in people:
                person.start()
            for person in people:
                person.join()
        finally:
            server.kill()
            server.wait()
    found = {"answers": len(times), "ready_seconds": round(ready, 2)}
    for name, share in (("median", 50), ("p99", 99), ("longest", 100)):
        found[f"{name}_ms"] = round(1000 * float(np.percentile(times, share)), 1)
    if options.json:
        print(json.dumps(found))
    else:
        print(", ".join(f"{name} {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
