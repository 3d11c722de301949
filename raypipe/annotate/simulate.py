"""The simulated annotator: answers from ground truth, for experiments and demonstrations.

A cluster is *object* when enough of its training regions lie on the class. The rule is that of
Kolesnikov & Lampert (BMVC 2016) in spirit; the share and the tie rule are ours.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raypipe.annotate.frames import Frame, Frames, Regions, index_set
from raypipe.annotate.labels import clusters_of
from raypipe.config import SimulateConfig
from raypipe.datasets.truth import Truth
from raypipe.errors import InputError
from raypipe.storage.run import Run
from raypipe.tables import LABELS

ANNOTATOR = "simulated"

_TURNED = {"object": "distractor", "distractor": "object", "unsure": "unsure"}

Floats = npt.NDArray[np.float64]


def simulate(run: Run, config: SimulateConfig) -> pa.Table:
    """Answer every cluster from the truth of the training images.

    Args:
        run: A run that is indexed, extracted and clustered. Nothing is written to it.
        config: Share for *object*, and the errors to make.

    Returns:
        Rows of `tables.LABELS`, one a cluster.

    Raises:
        InputError: If a step is missing, or a class has no truth on any image of its regions.
    """
    clusters = clusters_of(run)
    frames, truth = Frames.of(run), Truth(run, index_set(run))
    rows = []
    for name, numbers in clusters.numbers().items():
        regions = Regions.of(run, name)
        on_class = hits(regions, frames.find(regions.image_ids.tolist()), truth, name)
        if np.isnan(on_class).all():
            raise InputError(
                f"class {name}: none of its training images has a mask or a box to answer from",
                "answer its clusters by hand, or leave the class out (dataset.only)",
            )
        own = np.array([_mean(on_class[regions.clusters == number]) for number in numbers])
        verdicts = turned(judged(own, config.min_share), name, config)
        rows += [
            {"class": name, "cluster": number, "verdict": verdict, "annotator": ANNOTATOR,
             "seconds": None, "note": "", "clustering": clusters.clusterings[name]}
            for number, verdict in zip(numbers, verdicts, strict=True)
        ]  # fmt: skip
    return LABELS.build(rows)


def hits(regions: Regions, frames: dict[str, Frame], truth: Truth, name: str) -> Floats:
    """Say of each region whether the centre of its cell lies on the class.

    Args:
        regions: n regions of one class.
        frames: Frame by image.
        truth: Masks and boxes of the images; the mask decides where there is one.
        name: The class.

    Returns:
        (n,) float64: 1 on the class, 0 off it, NaN where there is no truth.
    """
    result = np.full(len(regions.cells), np.nan)
    for image_id, own in regions.by_image().items():  # image by image: a mask is decoded once
        if image_id in frames:
            cells = regions.cells[own]
            result[own] = _on_class(cells, frames[image_id], truth, image_id, name)
    return result


def _on_class(
    cells: npt.NDArray[np.int32], frame: Frame, truth: Truth, image_id: str, name: str
) -> Floats:
    """Return (n,) float64, as `hits`, for the cells of one image."""
    centres = (cells[:, ::-1] + 0.5) / [frame.grid_width, frame.grid_height]  # x, y in 0..1
    mask = truth.mask(image_id, name)
    if mask is not None:
        height, width = mask.inside.shape
        cols, rows = (centres * [width, height]).astype(np.intp).T
        return np.where(mask.valid[rows, cols], mask.inside[rows, cols], np.nan)
    boxes = truth.boxes(image_id, name)
    if not len(boxes):
        return np.full(len(cells), np.nan)
    x, y = (centres * [frame.width, frame.height]).T[:, :, None]  # (n, 1) each
    x0, y0, x1, y1 = boxes.T
    inside = (x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)
    return np.where(inside.any(axis=1), 1.0, 0.0)


def _mean(values: Floats) -> float:
    """Return the mean of what is not NaN; NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def judged(shares: Floats, min_share: float) -> list[str]:
    """Return the verdict on each cluster of a class.

    Args:
        shares: (k,) share of each cluster's regions that lie on the class; NaN: no truth. At
            least one is known.
        min_share: *object* from this share on; where no cluster reaches it, the largest share is.

    Returns:
        k verdicts; *unsure* where there is no truth.
    """
    known = np.nan_to_num(shares, nan=-1.0)
    chosen = known >= min_share
    if not chosen.any():
        chosen[np.argmax(known)] = True
    return [
        "unsure" if np.isnan(share) else "object" if taken else "distractor"
        for share, taken in zip(shares, chosen, strict=True)
    ]


def turned(verdicts: list[str], name: str, config: SimulateConfig) -> list[str]:
    """Turn answers round at the configured rate; a class's errors do not depend on the others."""
    digest = hashlib.sha256(f"{config.seed}\0{name}".encode()).digest()
    wrong = np.random.default_rng(int.from_bytes(digest)).random(len(verdicts)) < config.error_rate
    return [
        _TURNED[verdict] if error else verdict
        for verdict, error in zip(verdicts, wrong, strict=True)
    ]
