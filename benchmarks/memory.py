"""Whether the memory that `raypipe extract` needs grows with the number of images.

A small network at a small input, so that 20,000 images take minutes: what is kept of an image is
of the same kind whatever the network.

    python benchmarks/memory.py                        2,000 and 20,000 images
    python benchmarks/memory.py --images 500 1000 --json
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.extract import SCRIPT, prepared
from benchmarks.extract import parser as extract_parser
from benchmarks.measure import Measured, measured

AIM = 1.1
"""The larger number of images may need this share of the smaller number's memory."""


def main() -> None:
    """Run raypipe on each number of images; print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[2000, 20_000])
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--input-size", default="64", help="pixels")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    counts = sorted(options.images)
    words = ["--network", options.network, "--input-size", options.input_size]
    found: dict[int, Measured] = {}
    with tempfile.TemporaryDirectory(prefix="raypipe-benchmark-") as work:
        for images in counts:
            task = prepared(extract_parser().parse_args(words), images, Path(work))
            found[images] = measured(SCRIPT, "raypipe", task, {})
    report = summary(found) | {"network": task.network, "input_size": task.input_size}
    if options.json:
        print(json.dumps(report))
    else:
        Console().print(table(report))


def summary(found: dict[int, Measured]) -> dict[str, Any]:
    """Return the peaks by number of images, and the largest number's over the smallest's."""
    smallest, largest = found[min(found)], found[max(found)]
    names = ("peak_mb", "driver_mb", "object_store_mb")
    peaks = {
        name: {str(images): round(getattr(one, name), 1) for images, one in found.items()}
        for name in names
    }
    ratios = {
        name: round(getattr(largest, name) / max(getattr(smallest, name), 1.0), 3) for name in names
    }
    rates = {str(images): round(one.outcome.images_per_second, 1) for images, one in found.items()}
    return peaks | {"ratios": ratios, "images_per_second": rates}


def table(report: dict[str, Any]) -> Table:
    """Draw the peaks."""
    title = f"raypipe extract, {report['network']} at {report['input_size']} px: peak memory in MB"
    drawn = Table(title=title)
    for heading in ("images", "all processes", "driver", "object store", "images/s"):
        drawn.add_column(heading, justify="right")
    for images, rate in report["images_per_second"].items():
        peaks = [report[name][images] for name in ("peak_mb", "driver_mb", "object_store_mb")]
        drawn.add_row(f"{int(images):,}", *(f"{peak:,.0f}" for peak in peaks), f"{rate:,.0f}")
    ratios = report["ratios"]
    verdicts = [
        f"{ratios[name]:.2f} × {'met' if ratios[name] <= AIM else 'missed'}"
        for name in ("peak_mb", "driver_mb")
    ]
    drawn.add_row(f"aim {AIM} ×", *verdicts, "", "")
    return drawn


if __name__ == "__main__":
    main()
