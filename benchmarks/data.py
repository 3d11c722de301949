"""Where the real images and weights for benchmarks and tests are.

They are not part of the project. `RAYPIPE_TEST_DATA` names the folder that holds them, see
docs/reference/test-data.md; by default `../shared/data` beside the checkout.
"""

from __future__ import annotations

import os
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
