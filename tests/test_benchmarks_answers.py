"""The curves of the benchmark of answers, on the protocol's small drawn set."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.answers import Laboratory, Setting, markdown, plot, row
from benchmarks.asking import Curve, Questionnaire, mean_curve
from benchmarks.localized import Localized
from benchmarks.protocol import evaluate, plain, val_split
from benchmarks.splits import Split
from benchmarks.variants import PerClass, TwoLevel
from raypipe.config import SimulateConfig
from tests.test_protocol import drawn_set


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    place = tmp_path_factory.mktemp("answers")
    return val_split(Localized(drawn_set(0, 40), drawn_set(0, 20), 0, place))


@pytest.fixture(scope="module")
def laboratory(split: Split) -> Laboratory:
    return Laboratory([split], 0, draws=2)


TWO = PerClass(2)


def test_a_curve_goes_from_plain_maps_to_all_answers(laboratory, split) -> None:
    found = laboratory.curve(Setting(cluster=TWO, unanswered="skip"))
    clusters, _ = TWO(split, 0)
    assert found.answers.tolist() == [0, 0.5, 1, 1.5, 2]
    assert found.iou[0] == pytest.approx(plain(split).iou)
    assert found.iou[-1] == pytest.approx(evaluate(split, clusters).iou)
    guessed = laboratory.curve(Setting(cluster=TWO))
    assert guessed.iou[-1] == pytest.approx(found.iou[-1])
    assert guessed.iou[0] > found.iou[0], "the background bank tells the distractor"


def test_wrong_answers_cost_and_a_majority_mends(laboratory) -> None:
    right, wrong, three = (
        laboratory.curve(Setting(cluster=TWO, wrong=rate, annotators=annotators)).iou[-1]
        for rate, annotators in ((0.0, 1), (1.0, 1), (0.2, 5))
    )
    assert wrong < right
    assert wrong < three <= right + 1e-9


def test_answers_to_groups_go_to_their_members_and_overrides_follow(split) -> None:
    clusters, groups = TwoLevel(2)(split, 0)
    asked = Questionnaire.of(split, clusters, groups)
    said = asked.answers(SimulateConfig())
    keys = asked.asked(said, None)
    assert {name for name, _ in keys[:2]} == {"*"}
    assert "*" not in {name for name, _ in keys[2:]}
    assert len(keys) == 2 + len(groups)
    votes = asked.votes({key: said[key] for key in keys[:1]}, "skip")
    (_, number) = keys[0]
    assert {(name, at) for name, own in votes.items() for at in own} == {
        key for key, group in groups.items() if group == number
    }


def test_needs_are_first_and_for_good() -> None:
    one = Curve(np.arange(4) / 2, np.array([0.1, 0.5, 0.4, 0.6]), np.array([0.1, 0.2, 0.3, 0.3]))
    assert one.needed("corloc", 0.5) == (0.5, 1.5)
    assert one.needed("iou", 0.2) == (0.5, 0.5)
    assert one.needed("iou", 0.9) == (math.inf, math.inf)
    short = Curve(one.answers[:2], one.corloc[:2], one.iou[:2])
    assert mean_curve([one, short]).corloc == pytest.approx([0.1, 0.5, 0.45, 0.55])


def test_table_and_plot(laboratory, tmp_path: Path) -> None:
    bounds = {"corloc": (0.1, 0.5), "iou": (0.2, 0.6)}
    settings = [Setting(cluster=TWO), Setting(cluster=TWO, ordered=False)]
    rows = [row(one, 0, laboratory.curve(one), bounds) for one in settings]
    lines = markdown(rows, seconds=2).splitlines()
    assert lines[2].startswith("| class | gain | guess | 0% | 1 |")
    assert "1,000 classes" in lines[-1]
    plot(rows, tmp_path / "answers.png")
    assert (tmp_path / "answers.png").stat().st_size > 10_000
