"""How fast and how good `raypipe.cluster.assign.cluster` is, against what else one would use.

Planted clusters; every contender in a process of its own, one after the other, with the same number
of threads. All but raypipe are told the true number of clusters; raypipe chooses one.
Seconds are of the call, on features in memory, after a call on a few rows; memory is the highest
resident set of the process, features and imports included. The planted clusters are round, which
is the case that plain k-means is made for.

    python benchmarks/cluster.py                          5,000 and 20,000 features: many minutes
    python benchmarks/cluster.py --sizes 2000,5000 --methods raypipe,kmeans --rounds 3
    python benchmarks/cluster.py --json --plot cluster.svg
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from scipy import sparse

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.clusterers import METHODS, Asked
from benchmarks.options import names_of, numbers

WORDS = {
    "raypipe": "raypipe",
    "sklearn": "SpectralClustering",
    "kmeans": "KMeans",
    "corelay": "corelay's pipeline",
}
_LOOKS = {
    "raypipe": ("#0072B2", "o", "-"),
    "sklearn": ("#D55E00", "s", "--"),
    "kmeans": ("#009E73", "^", ":"),
    "corelay": ("#CC79A7", "D", "-."),
}
"""Colour (Okabe and Ito's, for every kind of colour vision), marker and line."""

_POOLS = ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM", "NUMEXPR")
_WARM = 256  # rows of the call that is not timed: whatever is imported late is there then
_GRAPH = 20_000  # the common graph is exact, n^2 d: for larger data there is no normalised cut
_NEIGHBORS = 20

Row = dict[str, Any]

console = Console(stderr=True, highlight=False)


def contend(name: str, request: str) -> None:
    """Be one contender: write its labels, print its seconds and its peak of memory as JSON."""
    content = json.loads(request)
    features = np.load(content["features"])
    method, asked = METHODS[name], Asked(**content["asked"])
    method(features[: max(_WARM, 4 * asked.clusters)], asked)
    started = time.perf_counter()
    labels = method(features, asked)
    seconds = time.perf_counter() - started
    # Not getrusage's: that one remembers the process that this one was forked from.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    np.save(content["labels"], labels)
    print(json.dumps({"seconds": seconds, "peak_mb": int(peak) * 1024 / 1e6}))


def contended(
    name: str, work: Path, asked: Asked, threads: int, limit: float
) -> tuple[Row, npt.NDArray[Any] | None]:
    """Run one contender on `work / features.npy`.

    Returns:
        What it printed, and its labels; an error and None if it failed or took too long.
    """
    labels = work / f"{name}.npy"
    request = {"features": str(work / "features.npy"), "labels": str(labels), "asked": vars(asked)}
    command = [sys.executable, __file__, "--contender", name, "--request", json.dumps(request)]
    try:
        child = subprocess.run(
            command, env=environment(threads), capture_output=True, text=True, timeout=limit,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"error": f"stopped after {limit:g} s"}, None
    if child.returncode:
        last = (child.stderr.strip() or f"exit status {child.returncode}").splitlines()[-1]
        return {"error": last}, None
    found: Row = json.loads(child.stdout.splitlines()[-1])
    return found, np.load(labels)


def environment(threads: int) -> dict[str, str]:
    """Return this process's environment with so many threads for every numerical library."""
    counts = {f"{pool}_NUM_THREADS": str(threads) for pool in _POOLS}
    return os.environ | counts | {"LOKY_MAX_CPU_COUNT": str(threads)}


def measure(options: argparse.Namespace, size: int, work: Path) -> list[Row]:
    """Let the contenders work on planted features of one size; return a row each."""
    from benchmarks.planted import planted

    features, truth = planted(size, options.dims, options.true_clusters, options.seed)
    np.save(work / "features.npy", features)
    graph = common_graph(features) if size <= _GRAPH else None
    shared = {
        "n": size,
        "d": options.dims,
        "data_mb": round(features.nbytes / 1e6, 1),
        "true_k": options.true_clusters,
        "max_k": options.max_clusters or 2 + options.true_clusters,
        "threads": options.threads,
        "ncut_truth": None if graph is None else normalised_cut(graph, truth),
    }
    del features
    asked = Asked(options.true_clusters, shared["max_k"], options.seed)
    found: dict[str, list[Row]] = {name: [] for name in options.methods}
    for number in range(options.rounds):
        for name in options.methods:
            one, labels = contended(name, work, asked, options.threads, options.limit)
            found[name].append(one | quality(labels, truth, graph))
            said = one.get("error") or f"{one['seconds']:.2f} s"
            console.print(f"{size:,}: {name}, round {number + 1} of {options.rounds}: {said}")
    rows = [shared | {"method": name} | summary(found[name]) for name in options.methods]
    own = next((row["seconds"] for row in rows if row["method"] == "raypipe"), None)
    for row in rows:
        row["ratio"] = round(row["seconds"] / own, 3) if own and row["seconds"] else None
    return rows


def quality(
    labels: npt.NDArray[Any] | None, truth: npt.NDArray[Any], graph: sparse.csr_array | None
) -> Row:
    """Return how good a labelling is, and how many clusters it has."""
    from sklearn.metrics import adjusted_rand_score

    if labels is None:
        return {"ari": None, "k": None, "ncut": None}
    return {
        "ari": round(float(adjusted_rand_score(truth, labels)), 4),
        "k": len(np.unique(labels)),
        "ncut": None if graph is None else normalised_cut(graph, labels),
    }


def summary(rounds: list[Row]) -> Row:
    """Return the median of the seconds and the highest peak, beside what the last round found."""
    if failed := [one for one in rounds if "error" in one]:
        return {"seconds": None, "peak_mb": None} | failed[-1]
    return rounds[-1] | {
        "seconds": round(statistics.median(one["seconds"] for one in rounds), 3),
        "peak_mb": round(max(one["peak_mb"] for one in rounds), 1),
    }


def common_graph(features: npt.NDArray[np.float32]) -> sparse.csr_array:
    """Return the (n, n) graph that all labellings are measured on.

    Cosines of the exact 20 nearest neighbours, negative ones cut, an edge where either end is near
    the other.
    """
    from sklearn.neighbors import NearestNeighbors

    near = min(_NEIGHBORS, len(features) - 1)
    model = NearestNeighbors(n_neighbors=near, algorithm="brute", metric="cosine").fit(features)
    graph = sparse.csr_array(model.kneighbors_graph(mode="distance"))
    graph.data = np.maximum(1.0 - graph.data, 0.0)
    return sparse.csr_array(graph.maximum(graph.T))


def normalised_cut(graph: sparse.csr_array, labels: npt.NDArray[Any]) -> float:
    """Return the sum over clusters of the weight that leaves one, over all weight at it.

    Fewer clusters have a lower one, so it compares labellings of as many (Shi & Malik 2000).
    """
    edges = graph.tocoo()
    inside = labels[edges.row] == labels[edges.col]
    names, numbers = np.unique(labels, return_inverse=True)
    ends = numbers[edges.row]
    volume = np.bincount(ends, edges.data, len(names))
    kept = np.bincount(ends[inside], edges.data[inside], len(names))
    return round(float((1 - kept / np.maximum(volume, 1e-12)).sum()), 4)


def table(rows: list[Row]) -> Table:
    """Draw the contenders at one size."""
    title = "{n:,} × {d} features ({data_mb:,.0f} MB), {true_k} planted clusters, {threads} threads"
    drawn = Table(title=title.format(**rows[0]))
    drawn.add_column("", no_wrap=True)
    for heading in ("seconds", "× raypipe", "peak MB", "ARI", "NCut", "k"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        name = WORDS[row["method"]]
        if row["seconds"] is None:
            drawn.add_row(name, "none")
            continue
        drawn.add_row(
            name,
            f"{row['seconds']:,.2f}",
            "" if row["ratio"] is None else f"{row['ratio']:.2f}",
            f"{row['peak_mb']:,.0f}",
            f"{row['ari']:.3f}",
            "" if row["ncut"] is None else f"{row['ncut']:.3f}",
            str(row["k"]),
        )
    return drawn


def notes(rows: list[Row]) -> list[str]:
    """Return what the table of one size does not say."""
    lines = [f"{WORDS[row['method']]}: {row['error']}" for row in rows if row["seconds"] is None]
    if any(row["method"] == "raypipe" and row["seconds"] is not None for row in rows):
        lines.append(f"raypipe chose its number of clusters, of at most {rows[0]['max_k']}")
    if rows[0]["ncut_truth"] is not None:
        lines.append(f"NCut of the planted clusters: {rows[0]['ncut_truth']:.3f}")
    return lines


def plot(rows: list[Row], place: Path) -> None:
    """Draw seconds and peak memory against the number of features, both axes logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, column, title in zip(panels, ("seconds", "peak_mb"), ("seconds", "MB"), strict=True):
        for name in dict.fromkeys(row["method"] for row in rows):
            own = sorted((row["n"], row[column]) for row in rows
                         if row["method"] == name and row[column])  # fmt: skip
            colour, marker, line = _LOOKS[name]
            axes.loglog([size for size, _ in own], [value for _, value in own],
                        color=colour, marker=marker, linestyle=line, label=WORDS[name])  # fmt: skip
        axes.set(xlabel="features", ylabel=title)
        axes.grid(visible=True, which="both", alpha=0.25)
    sizes = sorted({(row["n"], row["data_mb"]) for row in rows})
    panels[1].loglog(*zip(*sizes, strict=True), color="#555555", linewidth=1, label="the data")
    panels[0].set_title("time")
    panels[1].set_title("peak memory of the process")
    panels[1].legend()
    figure.savefig(place)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("--sizes", type=numbers, default=[5000, 20_000], metavar="N[,N]")
    made.add_argument("--dims", type=int, default=512, help="dimensions of a feature")
    made.add_argument("--true-clusters", type=int, default=8, help="planted")
    made.add_argument(
        "--max-clusters", type=int, help="raypipe's limit; else two more than planted"
    )
    made.add_argument("--methods", type=names_of(METHODS), default=list(METHODS),
                      metavar="NAME[,NAME]",
                      help=", ".join(METHODS))  # fmt: skip
    made.add_argument("--threads", type=int, default=2, help="of every contender")
    made.add_argument("--rounds", type=int, default=1, help="measurements; the median counts")
    made.add_argument("--limit", type=float, default=3600.0, help="seconds of a contender's life")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--plot", type=Path, metavar="FILE", help="draw seconds and memory")
    made.add_argument("--json", action="store_true", help="print JSON")
    made.add_argument("--contender", help=argparse.SUPPRESS)
    made.add_argument("--request", help=argparse.SUPPRESS)
    return made


def main() -> None:
    """Measure; print a table or JSON."""
    options = parser().parse_args()
    if options.contender:
        contend(options.contender, options.request)
        return
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="raypipe-benchmark-") as work:
        for size in sorted(options.sizes):
            rows += measure(options, size, Path(work))
    if options.plot:
        plot(rows, options.plot)
    if options.json:
        print(json.dumps(rows))
        return
    for _, own in groupby(rows, key=lambda row: row["n"]):
        found = list(own)
        Console().print(table(found))
        print("\n".join(notes(found)), end="\n\n")


if __name__ == "__main__":
    main()
