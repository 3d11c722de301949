"""The metrics as people are shown them, and a report with every place filled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Report = dict[str, Any]


@dataclass(frozen=True)
class Metric:
    """A metric of the report.

    Attributes:
        title: Its name for people.
        note: What it is, one sentence without its subject; `{}` stands for the setting it names.
        setting: Setting of `evaluate` that the note names, or empty.
    """

    title: str
    note: str
    setting: str = ""


METRICS_SHOWN = {
    "corloc": Metric(
        "CorLoc",
        "share of pairs whose box, drawn at the one threshold of the settings, reaches IoU {} "
        "with a true one",
        "box_iou",
    ),
    "max_box_acc": Metric(
        "MaxBoxAcc",
        "share of pairs whose largest contour's box reaches IoU 0.5, pooled over the set, at the "
        "threshold that serves the whole set best (V1)",
    ),
    "max_box_acc_v2": Metric(
        "MaxBoxAccV2", "mean over IoU 0.3, 0.5 and 0.7, the best of all contours counts"
    ),
    "top1_loc": Metric("Top-1 Loc", "as CorLoc, and the network's first class must be right"),
    "top5_loc": Metric("Top-5 Loc", "as CorLoc, and the class must be among its first five"),
    "pxap": Metric("PxAP", "area under pixel precision against recall, pixels pooled over the set"),
    "iou": Metric(
        "Mask IoU",
        "pixels above {} of the map's maximum against the true mask, void left out; mean of images",
        "mask_threshold",
    ),
    "miou": Metric("mIoU (VOC)", "pixels of the whole set, background is a class"),
    "precision": Metric("Precision", "share of the marked pixels that are of the object"),
    "recall": Metric("Recall", "share of the object's pixels that are marked"),
    "pointing": Metric("Pointing game", "share of pairs whose map peaks inside the object"),
}
"""The metrics of a report in the order they are shown in."""

POLICY = {
    "several_boxes": "pairs with several true boxes: any of them may be found",
    "resized": "pairs whose truth has another size and the same shape: it was scaled to the image",
    "other_size": "pairs whose truth has another shape than the image: it judges nothing",
    "empty_mask": "pairs whose true mask has no pixel of the class: it judges nothing",
    "without_truth": "pairs with neither a true box nor a mask: they are in no number here",
    "unlabelled": "objects of a class that is no label of their image: nobody looked for them",
    "unknown_images": "objects of the truth file in images that the set does not have: left out",
    "unknown_classes": "objects of the truth file of classes that the set does not have: left out",
    "without_area": "boxes of the truth file without width or height: left out",
}
"""What did not match between truth and predictions, and what was done; the counts' names."""

_EMPTY: Report = {
    "plain": None, "refined": None, "plain_interval": None, "refined_interval": None,
    "gain_interval": None, "p": None,
}  # fmt: skip
_DEFAULTS: Report = {
    "baseline": "plain", "refined": "refined",
    "questions": 0, "shared_questions": 0, "questions_per_class": 0.0, "seconds": None,
    "fallbacks": 0, "missing": 0, "policy": {}, "rules": {}, "usage": None,
}  # fmt: skip


def completed(report: Mapping[str, Any]) -> Report:
    """Return a report in which what was not measured is null rather than absent.

    Args:
        report: The content of `report.json`.
    """
    full = _DEFAULTS | dict(report) | _filled(report)
    rules = {name: {m: values.get(m) for m in METRICS_SHOWN} for name, values in
             full["rules"].items()}  # fmt: skip
    plain = {metric: full[metric]["plain"] for metric in METRICS_SHOWN}
    full["rules"] = {full["baseline"]: plain} | rules
    full["per_class"] = {
        name: {"seconds": None, "questions": 0} | dict(item) | _filled(item)
        for name, item in report["per_class"].items()
    }
    return full


def _filled(values: Mapping[str, Any]) -> Report:
    return {name: _EMPTY | (values.get(name) or {}) for name in METRICS_SHOWN}


def gain(values: Mapping[str, float | None]) -> float | None:
    """Return refined minus plain, or None where there is no truth of that kind."""
    plain, refined = values["plain"], values["refined"]
    return None if plain is None or refined is None else refined - plain


def measured(report: Report) -> list[str]:
    """Return the names of the metrics that a completed report has numbers for."""
    return [name for name in METRICS_SHOWN if report[name]["refined"] is not None]


def main_metric(report: Report) -> str:
    """Return the metric that classes are sorted by: CorLoc, or mask IoU without true boxes."""
    return "iou" if report["corloc"]["refined"] is None else "corloc"


def by_gain(report: Report, metric: str) -> list[Report]:
    """Return the classes of a completed report, the largest gain first."""
    return sorted(
        report["per_class"].values(),
        key=lambda item: (-(gain(item[metric]) or 0.0), item["title"]),
    )


def largest(classes: list[Report], metric: str, count: int) -> list[Report]:
    """Return the classes that changed most, in the order they come in."""
    changed = sorted(classes, key=lambda item: -abs(gain(item[metric]) or 0.0))[:count]
    kept = {id(item) for item in changed}
    return [item for item in classes if id(item) in kept]


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested settings as text by dotted name."""
    found: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            found[f"{prefix}{name}"] = text or "–"
    return found
