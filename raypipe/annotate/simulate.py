"""The simulated annotator: answers from ground truth, for experiments and demonstrations.

A cluster is *object* when enough of its training regions lie on the class, a group when enough of
the regions of all its clusters lie each on its own class. The rule is that of Kolesnikov & Lampert
(BMVC 2016) in spirit; the share and the tie rule are ours.

People answer 90.5 % of such questions alike in pairs. Two annotators who err independently with
rate e agree with probability 1 - 2 e (1 - e), so e = 0.05 is the realistic error rate.
"""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raypipe.annotate.csvfile import Clusters, Key
from raypipe.annotate.frames import Frame, Frames, Regions, index_set
from raypipe.annotate.labels import clusters_of
from raypipe.config import SimulateConfig
from raypipe.datasets.truth import IndexTruth, Truth
from raypipe.errors import InputError
from raypipe.storage.run import Run
from raypipe.tables import LABELS, SHARED

ANNOTATOR = "simulated"

_TURNED = {"object": "distractor", "distractor": "object", "unsure": "unsure"}

Floats = npt.NDArray[np.float64]


def simulate(run: Run, config: SimulateConfig) -> pa.Table:
    """Answer every question from the truth of the training images.

    Args:
        run: A run that is indexed, extracted and clustered. Nothing is written to it.
        config: Share for *object*, and the errors to make.

    Returns:
        Rows of `tables.LABELS`, one a question and annotator.

    Raises:
        InputError: If a step is missing, a class that is asked about has no truth on any image of
            its regions, or no class of the groups has.
    """
    clusters = clusters_of(run)
    shares = _shares(run, clusters)
    rows = []
    for name, numbers in clusters.numbers.items():
        asked = [number for number in numbers if (name, number) in shares]
        if not asked:
            continue
        own = np.array([shares[name, number] for number in asked])
        if np.isnan(own).all():
            raise _no_truth(name)
        right = judged(own, config.min_share)
        rows += [
            {"class": name, "cluster": number, "verdict": verdict, "annotator": annotator,
             "seconds": None, "note": "", "membership": clusters.memberships[name, number]}
            for at, annotator in enumerate(annotators(config))
            for number, verdict in zip(asked, given(right, name, config, at), strict=True)
        ]  # fmt: skip
    return LABELS.build(rows)


def _shares(run: Run, clusters: Clusters) -> dict[Key, float]:
    """Return the share of each question's regions that lie on their class; NaN without truth."""
    frames, truth = Frames.of(run), IndexTruth.of(run, index_set(run))
    on_class, known = Counter[Key](), Counter[Key]()
    for name, numbers in clusters.numbers.items():  # one class's regions in memory at a time
        if name == SHARED:
            continue
        regions = Regions.of(run, name)
        hit = hits(regions, frames.find(regions.image_ids.tolist()), truth, name)
        for number in numbers:
            key = (name, number)
            question = (SHARED, clusters.groups[key]) if key in clusters.groups else key
            own = hit[regions.clusters == number]
            on_class[question] += int(np.nansum(own))
            known[question] += int((~np.isnan(own)).sum())
    return {
        key: on_class[key] / known[key] if known[key] else float("nan")
        for key in clusters.questions
    }


def _no_truth(name: str) -> InputError:
    if name == SHARED:
        return InputError(
            "no training image of any class has a mask or a box to answer from",
            "answer the groups by hand",
        )
    return InputError(
        f"class {name}: none of its training images has a mask or a box to answer from",
        "answer its clusters by hand, or leave the class out (dataset.only)",
    )


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


def judged(shares: Floats, min_share: float) -> list[str]:
    """Return the verdict on each cluster of a class, or on each group.

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


def annotators(config: SimulateConfig) -> list[str]:
    """Return the names of those who answer; the only one has no number."""
    if config.annotators == 1:
        return [ANNOTATOR]
    return [f"{ANNOTATOR}-{number}" for number in range(1, config.annotators + 1)]


def given(right: list[str], name: str, config: SimulateConfig, annotator: int = 0) -> list[str]:
    """Return what an annotator answers to the questions about a class.

    Errors and doubts come at the configured rates, and depend neither on other classes nor on
    other annotators.

    Args:
        right: The right answers.
        name: The class.
        config: Rates and seed.
        annotator: Number of the annotator, from 0.
    """
    said = f"{config.seed}\0{name}" + (f"\0{annotator}" if annotator else "")
    generator = np.random.default_rng(int.from_bytes(hashlib.sha256(said.encode()).digest()))
    wrong = generator.random(len(right)) < config.error_rate
    doubts = generator.random(len(right)) < config.unsure_rate
    return [
        "unsure" if doubt else _TURNED[verdict] if error else verdict
        for verdict, error, doubt in zip(right, wrong, doubts, strict=True)
    ]
