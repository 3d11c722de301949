"""Masks of MSRC's refined maps by the threshold and by the dense CRF, against the truth.

Reads the detections of a refined run, by the rule classify; mean IoU is over a class's images, then
over the classes. Constants are chosen on `--split train`, and reported on val.

    python benchmarks/crf.py --run runs/msrc-resnet50
    python benchmarks/crf.py --run runs/msrc-resnet50 --split train --every 4 --crf '{"floor": 0.1}'
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from raypipe.config import MasksConfig
from raypipe.datasets.truth import IndexTruth
from raypipe.evaluate.masks import has_pixels, pixel_scores
from raypipe.loading.decode import decode_whole
from raypipe.masks.masks import crf_masks
from raypipe.masks.thresholds import threshold_masks
from raypipe.storage.blob import read_blob
from raypipe.storage.detections import detection_rows
from raypipe.storage.images import read_images
from raypipe.storage.parts import Parts
from raypipe.storage.run import Run
from raypipe.tables import DETECTIONS

_MAX_PIXELS = 100_000_000


def measure(
    run: Run, split: str, rule: str, configs: Sequence[MasksConfig], every: int = 1
) -> list[dict[str, Any]]:
    """Return, for each configuration, mean IoU and what it cost."""
    uris = read_images(run, split, ["image_id", "uri"]).to_pylist()
    places = {row["image_id"]: row["uri"] for row in uris}
    truth = IndexTruth.of(run, split)
    ious: list[dict[str, list[float]]] = [defaultdict(list) for _ in configs]
    seconds, pixels = [0.0] * len(configs), 0
    parts = Parts.of(run, run.require(f"refine/{split}"), DETECTIONS.name)
    names = [field.name for field in DETECTIONS.fields if field.name != "guessed"]
    rows = [
        row
        for name in sorted(parts.done())
        for row in detection_rows(
            (parts.folder / f"{name}{parts.suffix}").read_table(columns=names)
        )
        if row["rule"] == rule
    ]
    images = [list(found) for _, found in groupby(rows, lambda row: str(row["image_id"]))]
    for found in images[::every]:
        image = decode_whole(read_blob(places[found[0]["image_id"]]), _MAX_PIXELS)
        pixels += image.shape[0] * image.shape[1]
        for at, config in enumerate(configs):
            start = time.perf_counter()
            masks = masks_of([row["map"] for row in found], image, config)
            seconds[at] += time.perf_counter() - start
            for row, mask in zip(found, masks, strict=True):
                true = truth.mask(row["image_id"], row["class"])
                if true is not None and has_pixels(true):
                    score = pixel_scores(mask, true)
                    ious[at][row["class"]].append(score.iou)
    return [
        {
            "config": config.model_dump(exclude_defaults=True),
            "iou": round(float(np.mean([np.mean(one) for one in ious[at].values()])), 4),
            "classes": {name: round(float(np.mean(one)), 3) for name, one in ious[at].items()},
            "images": len(images[::every]),
            "seconds_a_megapixel": round(seconds[at] / pixels * 1e6, 2),
            "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        }
        for at, config in enumerate(configs)
    ]


def masks_of(
    maps: Sequence[npt.NDArray[np.float32]], image: npt.NDArray[np.uint8], config: MasksConfig
) -> npt.NDArray[np.bool_]:
    """Return the masks of an image, (C, H, W)."""
    if config.crf:
        return crf_masks(maps, image, config)
    return threshold_masks(maps, image.shape[0], image.shape[1], config.threshold)


def main() -> None:
    """Measure the threshold, the CRF, and the CRF as set; a JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True, help="refined run")
    parser.add_argument("--split", default="val")
    parser.add_argument("--rule", default="classify")
    parser.add_argument("--every", type=int, default=1, help="take every so-manieth image")
    parser.add_argument(
        "--crf", nargs="*", default=["{}"], help="settings of [masks], a JSON object a variant"
    )
    options = parser.parse_args()
    configs = [MasksConfig()]
    configs += [MasksConfig(**{"crf": True, **json.loads(text)}) for text in options.crf]
    for result in measure(Run.at(options.run), options.split, options.rule, configs, options.every):
        print(json.dumps(result))


if __name__ == "__main__":
    main()
