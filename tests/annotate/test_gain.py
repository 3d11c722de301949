"""The expected gain of answers, from clusters tables made by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from raypipe.annotate.csvfile import Clusters
from raypipe.annotate.gain import enough, expected_gains, order, override_gains
from raypipe.chances import agreement, object_chances
from raypipe.tables import CLUSTERS


def table(*rows: tuple[str, int, int, float, float, int | None]) -> pa.Table:
    """Make rows from class, cluster, regions, share, background and group."""
    names = ("class", "cluster", "regions", "share", "background", "group")
    rest = {"images": 1, "image_share": 0.5, "membership": "m", "centroid": [], "exemplars": []}
    return CLUSTERS.build([dict(zip(names, row, strict=True)) | rest for row in rows])


def test_of_equals_the_larger_gains_more() -> None:
    gains = expected_gains(
        table(
            ("cat", 1, 60, 0.6, 0.1, None),
            ("cat", 2, 40, 0.4, 0.1, None),
            ("dog", 1, 500, 0.5, 0.1, None),
            ("dog", 2, 500, 0.5, 0.1, None),
        )
    )
    assert gains["cat", 1] > gains["dog", 1] > gains["cat", 2]
    assert gains["cat", 1] == pytest.approx(1.5 * gains["cat", 2])
    assert order(gains) == [("cat", 1), ("dog", 1), ("dog", 2), ("cat", 2)]


def test_the_uncertain_gains_more_than_what_the_background_tells() -> None:
    gains = expected_gains(
        table(
            ("cat", 1, 100, 1 / 3, 0.0, None),
            ("cat", 2, 100, 1 / 3, 0.11, None),
            ("cat", 3, 100, 1 / 3, 0.2, None),
        )
    )
    assert order(gains)[0] == ("cat", 2)


def test_background_speaks_against_object() -> None:
    chances = object_chances(
        table(
            ("cat", 1, 100, 0.5, 0.1, None),
            ("cat", 2, 100, 0.5, 0.3, None),
            ("dog", 1, 100, 0.5, 0.3, None),
            ("dog", 2, 100, 0.5, 0.9, None),
            ("cow", 1, 100, 0.5, 0.0, None),
            ("cow", 2, 100, 0.5, 0.0, None),
        )
    )
    assert chances[0] > 0.9
    assert chances[1] < 0.5
    np.testing.assert_allclose(chances[2:4], chances[:2], rtol=1e-6)  # relative to the class
    np.testing.assert_allclose(chances[4:], 0.5)


def test_answers_are_compared_with_the_chances() -> None:
    chances = {("cat", 1): 0.9, ("cat", 2): 0.2, ("dog", 1): 0.7}
    verdicts = {("cat", 1): "object", ("cat", 2): "object", ("dog", 1): "unsure"}
    assert agreement(chances, verdicts) == (1, 2)
    assert agreement(chances, verdicts | {("dog", 1): "distractor", ("cow", 1): "object"}) == (1, 3)
    assert agreement(chances, {}) == (0, 0)


def test_how_many_answers_hold_a_share_of_the_gain() -> None:
    gains = {("a", 1): 1.0, ("b", 1): 5.0, ("c", 1): 4.0}
    assert [enough(gains, share) for share in (0.4, 0.5, 0.6, 0.9, 0.95, 1.0)] == [1, 1, 2, 2, 3, 3]
    assert enough({}, 0.95) == enough({("a", 1): 0.0}, 0.95) == 0


def test_a_group_is_one_question_worth_its_clusters() -> None:
    rows = table(
        ("cat", 1, 50, 0.5, 0.1, 1),
        ("cat", 2, 50, 0.5, 0.1, 2),
        ("dog", 1, 900, 0.9, 0.1, 1),
        ("dog", 2, 100, 0.1, 0.1, None),
        ("*", 1, 950, 0.95, 0.1, None),
        ("*", 2, 50, 0.05, 0.1, None),
    )
    gains = expected_gains(rows)
    assert set(gains) == set(Clusters.of(rows).questions)
    assert gains["*", 1] == pytest.approx(14 * gains["dog", 2])
    assert gains["*", 2] == pytest.approx(5 * gains["dog", 2])


def test_an_override_is_worth_what_the_background_says_against_the_answer() -> None:
    rows = table(
        ("cat", 1, 50, 0.5, 0.1, 1),
        ("cat", 2, 50, 0.5, 0.9, 1),
        ("dog", 1, 50, 0.5, 0.1, 2),
        ("dog", 2, 50, 0.5, 0.9, None),
        ("*", 1, 100, 0.5, 0.5, None),
        ("*", 2, 50, 0.5, 0.1, None),
    )
    gains = override_gains(rows, {("*", 1): "object"})
    assert order(gains) == [("cat", 2), ("cat", 1)]
    assert gains["cat", 2] == pytest.approx(0.5, abs=0.01)
    assert order(override_gains(rows, {("*", 1): "distractor"})) == [("cat", 1), ("cat", 2)]
    assert set(override_gains(rows, {("*", 1): "object", ("cat", 1): "object"})) == {("cat", 2)}
    assert override_gains(rows, {("*", 1): "unsure", ("dog", 2): "object"}) == {}


def test_any_table_gives_finite_gains() -> None:
    rows = table(("cat", 1, 10, 1.0, float("nan"), None), ("dog", 1, 0, 0.0, 0.0, None))
    assert all(np.isfinite(value) for value in expected_gains(rows).values())
    assert expected_gains(table()) == {}
    assert order({}) == []


def test_ties_go_by_class_and_number() -> None:
    assert order({("dog", 2): 1.0, ("dog", 1): 1.0, ("cat", 7): 1.0}) == [
        ("cat", 7), ("dog", 1), ("dog", 2),
    ]  # fmt: skip
