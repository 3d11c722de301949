"""The demonstration: drawn scenes, a network trained on their labels, its failure and its repair.

Nothing here is special to the demonstration but the drawing and the training: indexing, extraction,
clustering, sheets, refinement and evaluation are the same code that runs on photographs.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from raypipe.config import Settings
from raypipe.datasets.index import read_classes
from raypipe.datasets.truth import IndexTruth
from raypipe.errors import UsageError
from raypipe.evaluate.picks import gains, picks
from raypipe.evaluate.pictures import blended, read_photo
from raypipe.evaluate.predictions import PLAIN
from raypipe.loading.decode import decode
from raypipe.pipeline import Pipeline
from raypipe.progress import say
from raypipe.resolve import resolve
from raypipe.storage.blob import read_blob
from raypipe.storage.detections import detection_rows
from raypipe.storage.images import read_images, uris
from raypipe.storage.location import Location
from raypipe.storage.parts import Parts
from raypipe.storage.run import Run
from raypipe.tables import DETECTIONS, METRICS

_PICTURE = "demo.png"
_TRUE, _FOUND = "#00c08b", "#ffffff"


def flags(run: str, address: str | None, cpus: int | None) -> dict[str, Any]:
    """Return the demonstration's settings, below `run`."""
    engine = {"address": address, "cpus": cpus}
    return {
        "run": run,
        "dataset": {"name": "toyworld", "root": f"{run}/scenes"},
        "localizer": {"architecture": "toynet", "weights": f"{run}/network/toynet.safetensors"},
        "simulate": {"enabled": True},
        "engine": {name: value for name, value in engine.items() if value is not None},
    }


def demonstrate(
    run: str, *, address: str | None = None, cpus: int | None = None, fresh: bool = False
) -> dict[str, Any]:
    """Run the demonstration.

    Args:
        run: Local run directory.
        address: Ray cluster to join.
        cpus: Logical CPUs of a local cluster.
        fresh: Start from nothing.

    Returns:
        The evaluation's report.

    Raises:
        UsageError: If the run directory is not local.
    """
    place = Location.of(run)
    if not place.is_local:
        raise UsageError(f"{run}: the demonstration needs a local folder", "pass --run PATH")
    if fresh and place.exists():
        say(f"demo: --fresh deletes {place}")
        place.delete()
    with Pipeline(*resolve(None, flags(run, address, cpus))) as pipeline:
        pipeline.index()
        _train(pipeline.run, pipeline.settings)
        pipeline.everything()
        report = pipeline.report()
        picture = _picture(pipeline.run, pipeline.target_set, report)
        (pipeline.run.root / _PICTURE).write_bytes(picture)
    return report


def _train(run: Run, settings: Settings) -> None:
    """Train the small network on the image-level labels of the training scenes, once."""
    place = Location.of(settings.localizer.weights)
    if place.exists():
        return
    from raypipe.localizers import toynet

    rows = read_images(run, settings.dataset.split).to_pylist()
    names = [item.name for item in read_classes(run, settings.dataset.split)]
    size = settings.dataset.toyworld.size
    pixels = np.stack([decode(read_blob(row["uri"]), size, size * size)[0] for row in rows])
    labels = np.array([[name in row["classes"] for name in names] for row in rows], np.float32)
    say(f"network: training on {len(rows)} scenes and their labels alone")
    network = toynet.train(pixels, labels, seed=settings.dataset.toyworld.seed)
    Path(place.path).parent.mkdir(parents=True, exist_ok=True)
    toynet.save(network, Path(place.path), names)


def _picture(run: Run, target: str, report: dict[str, Any]) -> bytes:
    """Return a PNG: for each class the scene that gained most, its plain and its refined map."""
    refined = report["refined"]
    measured = Parts.of(run, run.require(f"evaluate/{target}"), METRICS.name).read(METRICS)
    won = gains(picks(pa.concat_tables(measured), "", PLAIN, refined))
    chosen = {item.name: item.image_id for item in reversed(won)}
    images = read_images(run, target, ["image_id", "uri"])
    places = uris(images)
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for part in Parts.of(run, run.require(f"refine/{target}"), "detections").read(DETECTIONS):
        for row in detection_rows(part):
            if chosen.get(row["class"]) == row["image_id"]:
                found[row["class"], row["rule"]] = dict(row)
    truth = IndexTruth.of(run, target)
    names = sorted(chosen)
    figure = Figure(figsize=(2.1 * len(names), 4.6), layout="constrained")
    axes = figure.subplots(2, len(names), squeeze=False)
    for column, name in enumerate(names):
        for line, rule in enumerate((PLAIN, refined)):
            detection = found[name, rule]
            photo = read_photo(places[chosen[name]], detection["width"], detection["height"])
            axis = axes[line][column]
            axis.imshow(blended(photo, detection["map"]))
            axis.set_axis_off()
            axis.set_title(name if line == 0 else "", fontsize=11)
            for box, colour in (
                *((box, _TRUE) for box in truth.boxes(chosen[name], name)),
                *((box, _FOUND) for box in detection["boxes"][:1]),
            ):
                axis.add_patch(_outline(box, colour))
    figure.text(0.004, 0.73, "plain", rotation=90, va="center", fontsize=11)
    figure.text(0.004, 0.25, "refined", rotation=90, va="center", fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _outline(box: npt.NDArray[np.float64], colour: str) -> Rectangle:
    x0, y0, x1, y1 = (float(side) for side in box)
    return Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=2)
