"""Indexing: images a second and peak memory, for a tree of empty files as large as ILSVRC's.

python benchmarks/index.py                       130,000 and 1,300,000 files, 1,000 classes
python benchmarks/index.py --images 1300000 --json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_CLASSES = 1000


def make_tree(root: Path, images: int) -> None:
    """Write empty files as ILSVRC's train tree has them: names are all that an index reads."""
    train = root / "Data" / "CLS-LOC" / "train"
    for number in range(_CLASSES):
        wnid = f"n{number:08d}"
        folder = train / wnid
        folder.mkdir(parents=True)
        place = os.open(folder, os.O_RDONLY)
        for at in range(images * number // _CLASSES, images * (number + 1) // _CLASSES):
            name = f"{wnid}_{at}.JPEG"
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=place))
        os.close(place)


def index(root: Path, run: Path) -> dict[str, float]:
    """Run `raypipe index` in a process of its own; return seconds, and its peak memory in MB."""
    command = [sys.executable, "-m", "raypipe", "index", "--dataset", "ilsvrc", "--root", str(root),
               "--run", str(run), "--json"]  # fmt: skip
    started = time.monotonic()
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    images = json.loads(result.stdout)["counts"]["images"]
    return {
        "images": images,
        "seconds": round(seconds, 1),
        "images_per_second": round(images / seconds),
        "peak_mb": round(peak),
    }


def main() -> None:
    """Measure trees of increasing size: the peak is that of the largest child so far."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[130_000, 1_300_000])
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    found = []
    for images in sorted(options.images):
        with tempfile.TemporaryDirectory(prefix="raypipe-") as folder:
            make_tree(Path(folder) / "tree", images)
            found.append(index(Path(folder) / "tree", Path(folder) / "run"))
        if not options.json:
            print(", ".join(f"{name} {value:,}" for name, value in found[-1].items()))
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
