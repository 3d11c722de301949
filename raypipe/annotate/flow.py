"""The sheets step: a contact sheet and a page of every class and of the groups, then the index."""

from __future__ import annotations

from raypipe.annotate import labels, pages
from raypipe.annotate.asking import Asking
from raypipe.annotate.facts import ClassFacts, facts
from raypipe.annotate.frames import Frames
from raypipe.annotate.shared import class_tiles
from raypipe.annotate.sheets import contact_sheet
from raypipe.config import Settings, SheetsConfig
from raypipe.engine import Engine
from raypipe.progress import tracking
from raypipe.storage.run import Manifest, Plan, Run, slug

STEP = "sheets"

_LAYOUT = 2  # grows whenever the same settings give other pages
_THUMB = 96
_INDEX = "index.html"
_PARTS = (".png", ".html", ".webp")  # files of a class: sheet, page, thumbnail


def plan(run: Run, settings: Settings) -> Plan:
    """Say what the step would do.

    Raises:
        InputError: If the run is not clustered yet.
    """
    upstream = {"cluster": run.require("cluster").identity}
    return Plan(STEP, settings.sheets.identity() | {"layout": _LAYOUT}, upstream)


def execute(run: Run, settings: Settings, engine: Engine) -> Manifest:
    """Draw the sheets of every class.

    Args:
        run: A clustered run.
        settings: Tiles a cluster and their size.
        engine: Where to draw; a task a class.

    Raises:
        InputError: If an earlier step is missing, or a table is damaged.
    """
    step = plan(run, settings)
    run.begin(step)
    counts = {"classes": 0, "clusters": 0, "tiles": 0}
    # 1. What is known of the classes and their images, read once.
    classes, frames, asking = facts(run), Frames.of(run), Asking.of(run)
    # 2. A task a class, the one with the most regions first.
    largest_first = sorted(classes, key=lambda item: (-item.regions, item.name))
    with tracking("sheets", len(classes), "classes") as tracker:
        drawn = engine.tasks(draw_class, largest_first, run, settings.sheets, frames, asking)
        for item, shown in drawn:
            if not item.shared:  # groups are no further clusters
                counts["classes"] += 1
                counts["clusters"] += len(item.clusters)
            counts["tiles"] += shown
            tracker.advance(1)
    # 3. The index, and nothing left of classes that are gone.
    write_index(run)
    _remove_others(run, classes)
    return run.finish(step, counts)


def draw_class(
    item: ClassFacts, run: Run, config: SheetsConfig, frames: Frames, asking: Asking
) -> int:
    """Draw and write the sheet, the page and the thumbnail of one class, or of the groups.

    Returns:
        Tiles drawn.

    Raises:
        InputError: If a class's regions cannot be read.
    """
    shown = class_tiles(item, run, config, frames)
    sheet = contact_sheet(item, shown, config.tiles, config.tile)
    folder, name = run.step(STEP), slug(item.name)
    (folder / f"{name}.png").write_bytes(pages.png_bytes(sheet))
    page = pages.class_page(item, shown, config.tile, asking)
    (folder / f"{name}.html").write_bytes(page.encode())
    thumb = next((tile.lit for cluster in shown for tile in cluster), None)
    if thumb is not None:
        small = thumb.resize((_THUMB, _THUMB))
        (folder / f"{name}.webp").write_bytes(pages.webp_bytes(small))
    return sum(len(cluster) for cluster in shown)


def write_index(run: Run) -> None:
    """Write the index of all classes, with the answers of now; cheap, so also after an ingest.

    Raises:
        InputError: If the run is not clustered yet, or a table is damaged.
    """
    status = {item.name: item for item in labels.status(run).classes}
    classes = facts(run)
    files = set(run.step(STEP).names())
    thumbs = {item.name for item in classes if f"{slug(item.name)}.webp" in files}
    page = pages.index_page([(item, status[item.name]) for item in classes], thumbs, Asking.of(run))
    (run.step(STEP) / _INDEX).write_bytes(page.encode())


def _remove_others(run: Run, classes: list[ClassFacts]) -> None:
    """Delete the files of classes that an earlier clustering had."""
    ours = {slug(item.name) + part for item in classes for part in _PARTS} | {_INDEX}
    for name in run.step(STEP).names():
        if name not in ours:
            (run.step(STEP) / name).delete()
