"""Reports made by hand, in the shape that `report.json` has."""

from __future__ import annotations

import math
from typing import Any

Report = dict[str, Any]

MEANS = ("corloc", "max_box_acc", "max_box_acc_v2", "pxap", "iou", "precision", "recall")


def measured(plain: float, refined: float) -> Report:
    gain = refined - plain
    return {
        "plain": plain, "refined": refined, "p": 0.0004 if gain else 1.0,
        "plain_interval": [max(plain - 0.06, 0), min(plain + 0.06, 1)],
        "refined_interval": [max(refined - 0.05, 0), min(refined + 0.05, 1)],
        "gain_interval": [gain - 0.055, gain + 0.055],
    }  # fmt: skip


NOTHING = dict.fromkeys(measured(0, 0))


def report(classes: int, *, seconds: float | None = 6.5, masks: bool = True) -> Report:
    """Return a report of so many classes, three questions each, the gains spread evenly.

    Args:
        classes: Number of classes; the second one has a very long name.
        seconds: Time of an answer, or None for none recorded.
        masks: Have true masks; otherwise what needs them is null.
    """
    items = {f"class {index}": _class(index, classes, seconds, masks) for index in range(classes)}
    mean = {name: _mean(items, name) for name in MEANS}
    names = (*MEANS, "top1_loc", "top5_loc", "miou", "pointing")
    return {
        "set": "val", "fingerprint": "0123abcd", "baseline": "plain", "refined": "classify",
        "settings": {"refine": {"rules": ["classify", "filter"], "localizer": {"name": "cam"}},
                     "evaluate": {"box_iou": 0.5, "mask_threshold": 0.2}},
        "classes": classes, "images": 18 * classes, "pairs": 20 * classes, "fallbacks": 1,
        "missing": 2, "questions": 3 * classes, "shared_questions": 0, "questions_per_class": 3.0,
        "seconds": None if seconds is None else 3 * classes * seconds,
        "policy": {"missing": 2, "resized": 1, "unknown_classes": 0},
        "rules": {rule: {name: mean[name]["refined"] for name in MEANS}
                  for rule in ("plain", "classify", "filter", "other maps")},
        "max_box_acc_threshold": {"plain": 0.15, "refined": 0.24},
        **{name: mean.get(name, NOTHING) for name in names},
        "per_class": items,
    }  # fmt: skip


def _class(index: int, classes: int, seconds: float | None, masks: bool) -> Report:
    plain = 0.3 + 0.4 * ((index * 7) % classes) / classes
    gain = -0.1 + 0.35 * math.sqrt(index / classes)
    pixels = {
        "iou": measured(plain, plain + gain),
        "precision": measured(0.5 + 0.4 * index / classes, 0.95),
        "recall": measured(0.7, 0.75),
    }
    long = "a class with a name as long as a line, pneumonoultramicroscopicsilicovolcanoconiosis"
    return {
        "title": long if index == 1 else f"class {index}", "images": 20, "boxes": 25,
        "questions": 3, "seconds": None if seconds is None else 3 * seconds,
        **dict.fromkeys(("top1_loc", "top5_loc", "pointing"), NOTHING),
        **{name: measured(plain, plain + gain) for name in MEANS if name not in pixels},
        **(pixels if masks else dict.fromkeys(pixels, NOTHING)),
    }  # fmt: skip


def _mean(items: Report, name: str) -> Report:
    values = [item[name] for item in items.values()]
    if values[0]["plain"] is None:
        return NOTHING
    sides = (sum(item[side] for item in values) / len(values) for side in ("plain", "refined"))
    return measured(*sides)
