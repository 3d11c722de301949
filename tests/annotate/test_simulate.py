"""The simulated annotator, by masks and by boxes."""

from __future__ import annotations

import numpy as np
import pytest

from raypipe.annotate import labels
from raypipe.annotate.simulate import given, judged, simulate
from raypipe.config import SimulateConfig
from raypipe.errors import InputError
from raypipe.tables import LABELS

CONFIG = SimulateConfig()


def answers(run, **options) -> dict[tuple[str, int], str]:
    rows = simulate(run, SimulateConfig(**options)).to_pylist()
    assert {row["annotator"] for row in rows} == {"simulated"}
    assert {row["seconds"] for row in rows} == {None}
    return {(row["class"], row["cluster"]): row["verdict"] for row in rows}


def mask(value: int, columns: slice) -> np.ndarray:
    pixels = np.zeros((60, 80), dtype=np.uint8)
    pixels[:, columns] = value
    return pixels


def test_masks_decide_by_the_centre_of_the_cell(make_world, two_clusters) -> None:
    # The centre of the last column of cells, 70 to 80, is 75.
    right = {f"image{place}": mask(1, slice(75, 80)) for place in range(3)}
    world = make_world({"cat": two_clusters()}, masks=right)
    assert answers(world.run()) == {("cat", 1): "distractor", ("cat", 2): "object"}


def test_a_mask_that_misses_the_centre_is_a_miss(make_world, two_clusters) -> None:
    masks = {f"image{place}": mask(1, slice(76, 80)) for place in range(3)}
    masks["image0"] = mask(1, slice(0, 10))
    world = make_world({"cat": two_clusters()}, masks=masks)
    assert answers(world.run()) == {("cat", 1): "object", ("cat", 2): "distractor"}


def test_void_pixels_do_not_count(make_world, two_clusters) -> None:
    masks = {f"image{place}": mask(255, slice(0, 80)) for place in range(3)}
    masks["image0"] = mask(1, slice(0, 80))
    world = make_world({"cat": two_clusters()}, masks=masks)
    # Counted as misses, they would leave a third: only the largest share would win.
    assert set(answers(world.run(), min_share=0.9).values()) == {"object"}


def test_boxes_decide_where_there_is_no_mask(make_world, two_clusters) -> None:
    boxes = [("image0", "cat", 70.0, 0.0, 80.0, 60.0), ("image0", "dog", 0.0, 0.0, 75.0, 60.0)]
    world = make_world({"cat": two_clusters(), "dog": two_clusters()}, boxes=boxes)
    # Images without a box do not count, so one box of three images is a share of 1.
    assert answers(world.run(), min_share=1.0) == {
        ("cat", 1): "distractor", ("cat", 2): "object",
        ("dog", 1): "object", ("dog", 2): "distractor",
    }  # fmt: skip


def test_a_class_without_truth_is_refused(make_world, two_clusters) -> None:
    boxes = [("image0", "cat", 0.0, 0.0, 10.0, 60.0)]
    world = make_world({"cat": two_clusters(), "dog": two_clusters()}, boxes=boxes)
    with pytest.raises(InputError, match="class dog"):
        simulate(world.run(), CONFIG)


def test_answers_go_through_the_log(make_world, two_clusters) -> None:
    boxes = [("image0", "cat", 0.0, 0.0, 10.0, 60.0)]
    run = make_world({"cat": two_clusters()}, boxes=boxes).run()
    assert labels.record(run, simulate(run, CONFIG)).file
    assert labels.record(run, simulate(run, CONFIG)).file == ""
    assert labels.verdicts(run) == {("cat", 1): "object", ("cat", 2): "distractor"}


LEFT, RIGHT = (0.0, 0.0, 10.0, 60.0), (70.0, 0.0, 80.0, 60.0)


def test_a_group_is_judged_by_the_regions_of_all_its_clusters(shared) -> None:
    # Cats and dogs stand at the left, cows at the right: two thirds of group 1 are hits.
    shared.boxes = [("image0", "cat", *LEFT), ("image1", "dog", *LEFT), ("image2", "cow", *RIGHT)]
    run = shared.run()
    assert answers(run, min_share=0.5) == {("*", 1): "object", ("*", 2): "distractor"}
    assert answers(run, min_share=0.3) == {("*", 1): "object", ("*", 2): "object"}
    assert answers(run, min_share=0.9) == {("*", 1): "object", ("*", 2): "distractor"}  # the best
    rows = simulate(run, CONFIG)
    assert rows["membership"].to_pylist() == [
        labels.clusters_of(run).memberships["*", number] for number in (1, 2)
    ]
    assert labels.record(run, rows).answers == 2
    assert labels.status(run).answered == 2
    assert len(labels.verdicts(run)) == 6


def test_known_regions_count_not_classes(shared, two_clusters) -> None:
    shared.regions["cat"] = two_clusters(9)
    shared.boxes = [(f"image{place}", "cat", *LEFT) for place in range(9)]
    shared.boxes += [("image0", "dog", *RIGHT), ("image0", "cow", *RIGHT)]
    # 18 regions of cats against 2 of dogs and 2 of cows.
    assert answers(shared.run(), min_share=0.5) == {("*", 1): "object", ("*", 2): "distractor"}


def test_classes_without_truth_are_left_out_of_groups(shared) -> None:
    shared.boxes = [("image0", "cow", *RIGHT)]
    shared.groups["dog", 1] = 3
    assert answers(shared.run()) == {
        ("*", 1): "distractor", ("*", 2): "object", ("*", 3): "unsure",
    }  # fmt: skip


def test_groups_without_any_truth_are_refused(shared) -> None:
    with pytest.raises(InputError, match="no training image of any class"):
        simulate(shared.run(), CONFIG)


def test_errors_turn_answers_on_groups_round(shared) -> None:
    shared.boxes = [("image0", "cat", *LEFT)]
    assert answers(shared.run(), error_rate=1.0) == {("*", 1): "distractor", ("*", 2): "object"}


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0.3, 0.29, 0.9], ["object", "distractor", "object"]),
        ([0.1, 0.2, 0.0], ["distractor", "object", "distractor"]),
        ([float("nan"), 0.1], ["unsure", "object"]),
    ],
)
def test_judged(shares: list[float], expected: list[str]) -> None:
    assert judged(np.array(shares), 0.3) == expected


RIGHT_ANSWERS = ["object", "distractor"] * 1000


def differing(one: list[str], other: list[str]) -> float:
    return float(np.mean([a != b for a, b in zip(one, other, strict=True)]))


def test_errors_turn_answers_round_at_the_rate() -> None:
    config = SimulateConfig(error_rate=0.2)
    answers_ = given(RIGHT_ANSWERS, "cat", config)
    assert 0.16 < differing(RIGHT_ANSWERS, answers_) < 0.24
    assert given(RIGHT_ANSWERS, "cat", config) == answers_
    assert given(RIGHT_ANSWERS, "dog", config) != answers_
    assert given(RIGHT_ANSWERS, "cat", SimulateConfig(error_rate=0.2, seed=1)) != answers_
    assert given(["unsure", "object"], "cat", SimulateConfig(error_rate=1.0)) == [
        "unsure", "distractor",
    ]  # fmt: skip


def test_doubts_come_at_their_rate_beside_the_errors() -> None:
    config = SimulateConfig(unsure_rate=0.2, error_rate=0.5)
    answers_ = given(RIGHT_ANSWERS, "cat", config)
    assert 0.16 < np.mean([answer == "unsure" for answer in answers_]) < 0.24
    plain = given(RIGHT_ANSWERS, "cat", SimulateConfig(error_rate=0.5))
    sure = [(a, b) for a, b in zip(answers_, plain, strict=True) if a != "unsure"]
    assert all(a == b for a, b in sure), "doubts change no other answer"


def test_annotators_who_err_agree_as_people_do() -> None:
    config = SimulateConfig(error_rate=0.05, annotators=2)
    one, two = (given(RIGHT_ANSWERS, "cat", config, at) for at in range(2))
    assert 1 - differing(one, two) == pytest.approx(0.905, abs=0.02)
    assert one == given(RIGHT_ANSWERS, "cat", SimulateConfig(error_rate=0.05))


def test_several_annotators_answer_under_their_names(make_world, two_clusters) -> None:
    boxes = [("image0", "cat", *LEFT)]
    run = make_world({"cat": two_clusters()}, boxes=boxes).run()
    rows = simulate(run, SimulateConfig(annotators=3)).to_pylist()
    assert {row["annotator"] for row in rows} == {"simulated-1", "simulated-2", "simulated-3"}
    assert len(rows) == 6
    labels.record(run, LABELS.build(rows))
    assert labels.verdicts(run) == {("cat", 1): "object", ("cat", 2): "distractor"}
