"""Where the real images and weights for benchmarks and tests are.

They are not part of the project. `RAYPIPE_TEST_DATA` names the folder that holds them, see
docs/reference/test-data.md; by default `../shared/data` beside the checkout.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"


def data_root() -> Path | None:
    """Return the folder with the real data, or None if it is not there."""
    default = ROOT.parent / "shared" / "data"
    place = Path(os.environ.get("RAYPIPE_TEST_DATA", default)).resolve()
    return place if place.is_dir() else None


def require_data_root() -> Path:
    """Return the folder with the real data, or end with one clear line."""
    place = data_root()
    if place is None:
        sys.exit(
            "the real data is not here: set RAYPIPE_TEST_DATA, see docs/reference/test-data.md"
        )
    return place


def state_dict(name: str) -> Path:
    """Return a file with ImageNet weights: `resnet18`, `resnet50` or `mobilenet_v2`."""
    place = CACHE / "weights" / f"{name}.pth"
    if not place.exists():
        script = require_data_root() / "weights" / "to_state_dict.py"
        subprocess.run([sys.executable, script, place.parent], check=True, capture_output=True)
    return place


def image_tree(count: int, folder: Path) -> Path:
    """Lay out an ILSVRC tree of so many full-size images and return its root.

    `ilsvrc_mini` has one image of full size for each of 500 classes, `<wnid>_0.JPEG`, of 110 KB on
    average; they are repeated in turn under other names, as links, so that every class has as many.
    """
    source = require_data_root() / "ilsvrc_mini"
    classes = source / "ILSVRC" / "Data" / "CLS-LOC" / "train"
    found = sorted(classes.glob("n*/n*_0.JPEG"))
    for number in range(count):
        image = found[number % len(found)]
        place = folder / "Data" / "CLS-LOC" / "train" / image.parent.name
        place.mkdir(parents=True, exist_ok=True)
        link = place / f"{image.parent.name}_{number // len(found):04d}.JPEG"
        if not link.exists():
            link.symlink_to(image)
    shutil.copy(source / "LOC_synset_mapping.txt", folder)
    return folder
