"""What the answers bought: the mean against questions and seconds, and against drawn boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SECONDS_A_BOX = 35.0
"""Time to draw one box, seconds: Papadopoulos et al., CVPR 2017, of ILSVRC's boxes."""


@dataclass(frozen=True)
class Step:
    """The mean over classes after one more class is answered.

    Attributes:
        title: The class, for people; empty for the start and for groups of all classes.
        questions: Answers until then.
        seconds: Time of those answers, or None if it was not recorded.
        mean: Mean over classes of the metric, classes not yet answered at their plain value.
    """

    title: str
    questions: int
    seconds: float | None
    mean: float


@dataclass(frozen=True)
class Boxing:
    """The same seconds spent on boxes: `images` pairs of the set have a perfect box.

    Attributes:
        seconds: The time, seconds.
        images: Pairs that are boxed in it.
        mean: Mean over classes of CorLoc that is expected then.
    """

    seconds: float
    images: int
    mean: float


@dataclass(frozen=True)
class Earning:
    """The curve, and what it is compared with.

    Attributes:
        steps: From no answer to all, in the order in which classes gain most an answer.
        boxing: The comparison, None without recorded seconds or true boxes.
        break_even: Seconds an answer below which answers beat boxes; None if they gain nothing,
            or without true boxes.
    """

    steps: list[Step]
    boxing: Boxing | None
    break_even: float | None


def earned(report: Mapping[str, Any], metric: str) -> Earning | None:
    """Order the classes by gain an answer and add up what they cost and bring.

    Args:
        report: The report.
        metric: `corloc` or `iou`.

    Returns:
        The curve, or None if nobody answered anything or nothing is known of the metric.
    """
    plain = report[metric]["plain"]
    known = [item for item in report["per_class"].values() if item[metric]["refined"] is not None]
    if plain is None or not known or not report["questions"]:
        return None
    steps = _steps(report, metric, known, plain)
    if metric != "corloc":  # a box is no mask: nothing to compare with
        return Earning(steps, None, None)
    seconds, pairs = steps[-1].seconds, report["pairs"]
    boxing = None if seconds is None else boxed(plain, pairs, seconds)
    return Earning(steps, boxing, _break_even(report, plain))


def boxed(plain: float, pairs: int, seconds: float) -> Boxing:
    """Say what boxes bring: pairs drawn at random, each perfect, the others as they were.

    Args:
        plain: CorLoc before, 0..1.
        pairs: Pairs of image and class in the set.
        seconds: Time to spend.
    """
    images = min(int(seconds // SECONDS_A_BOX), pairs)
    # A random pair of class c, n_c of them, lifts the class's mean by (1 - plain_c) / n_c; over
    # pairs drawn evenly and classes this is (1 - plain) / pairs each.
    return Boxing(seconds, images, plain + images / pairs * (1 - plain))


def _break_even(report: Mapping[str, Any], plain: float) -> float | None:
    gain = report["corloc"]["refined"] - plain
    if gain <= 0 or plain >= 1:
        return None
    boxes = gain / (1 - plain) * report["pairs"]
    return float(boxes * SECONDS_A_BOX / report["questions"])


def _steps(
    report: Mapping[str, Any], metric: str, known: list[Mapping[str, Any]], plain: float
) -> list[Step]:
    """Return the points of the curve."""
    gains = {id(item): item[metric]["refined"] - item[metric]["plain"] for item in known}
    own = [item for item in known if item["questions"]]
    own.sort(key=lambda item: (-gains[id(item)] / item["questions"], item["title"]))
    timed = report["seconds"] is not None and all(item["seconds"] is not None for item in own)
    spent = sum(item["seconds"] for item in own) if timed else 0.0
    # What no class is charged with went to groups of all classes.
    shared = max(report["seconds"] - spent, 0.0) if timed else None
    step = Step("", 0, 0.0 if timed else None, plain)
    steps = [step]
    if report["shared_questions"]:
        others = sum(gains[id(item)] for item in known if not item["questions"])
        mean = plain + others / len(known)
        step = Step("", report["shared_questions"], shared, mean)
        steps.append(step)
    for item in own:
        seconds = None if step.seconds is None else step.seconds + item["seconds"]
        mean = step.mean + gains[id(item)] / len(known)
        step = Step(item["title"], step.questions + item["questions"], seconds, mean)
        steps.append(step)
    return steps
