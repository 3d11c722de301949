"""What the page and the terminal make of the numbers."""

import pytest
from rich.console import Console

from raypipe.evaluate.digits import chance, number, shortened, signed
from raypipe.evaluate.earning import boxed, earned
from raypipe.evaluate.limits import counts, limit
from raypipe.evaluate.plots import plot, ticks
from raypipe.evaluate.report import render_html
from raypipe.evaluate.shown import by_gain, completed, largest
from raypipe.evaluate.summary import summary_table
from tests.evaluate.reports import NOTHING, report


def pixels(precision, recall):
    return {name: {"plain": value} for name, value in (("precision", precision),
                                                       ("recall", recall))}  # fmt: skip


@pytest.mark.parametrize(
    ("precision", "recall", "expected"),
    [(0.5, 0.9, "precision"), (0.9, 0.79, "recall"), (0.6, 0.4, "recall"), (0.4, 0.4, "precision"),
     (0.8, 0.8, "neither"), (None, None, None)],
)  # fmt: skip
def test_a_class_is_limited_by_the_lower_of_the_two(precision, recall, expected):
    assert limit(pixels(precision, recall), "plain") == expected


def test_limits_are_counted():
    items = [pixels(0.5, 0.9), pixels(0.5, 0.6), pixels(0.9, 0.9), pixels(None, None)]
    assert counts(items, "plain") == {"precision": 2, "recall": 0, "neither": 1}


def small():
    """Two classes of 10 pairs each; the second gains more an answer."""
    numbers = report(2)
    for item, refined, questions in zip(
        numbers["per_class"].values(), (0.6, 0.9), (2, 1), strict=True
    ):
        item |= {"questions": questions, "seconds": 10.0 * questions}
        item["corloc"] = {"plain": 0.5, "refined": refined}
    return numbers | {"corloc": {"plain": 0.5, "refined": 0.75}, "questions": 3, "seconds": 30.0,
                      "pairs": 20}  # fmt: skip


def points(earning):
    return [(step.questions, step.seconds, pytest.approx(step.mean)) for step in earning.steps]


def test_the_class_that_gains_most_an_answer_comes_first():
    earning = earned(completed(small()), "corloc")
    assert points(earning) == [(0, 0.0, 0.5), (1, 10.0, 0.7), (3, 30.0, 0.75)]


def test_groups_of_all_classes_come_first_and_take_the_seconds_that_no_class_has():
    numbers = small() | {"shared_questions": 4, "questions": 6, "seconds": 50.0}
    numbers["per_class"]["class 0"] |= {"questions": 0, "seconds": 0.0}
    earning = earned(completed(numbers), "corloc")
    # Class 0 has no question of its own: what it gains, it gains by the groups.
    assert points(earning) == [(0, 0.0, 0.5), (4, 40.0, 0.55), (5, 50.0, 0.75)]


def test_boxes_of_the_same_seconds():
    # 2 boxes in 100 s; two of 10 pairs are perfect, the others stay at 0.5.
    assert boxed(0.5, 10, 100.0).images == 2
    assert boxed(0.5, 10, 100.0).mean == pytest.approx(0.6)
    assert boxed(0.5, 10, 34.9).mean == 0.5
    assert boxed(0.5, 10, 1e9).mean == 1.0


def test_break_even_is_the_time_of_as_many_boxes_a_question():
    # Half of what is missing: 10 of 20 pairs, 350 s, for 3 questions.
    assert earned(completed(small()), "corloc").break_even == pytest.approx(350 / 3)


def test_without_seconds_or_boxes_nothing_is_compared():
    numbers = completed(small() | {"seconds": None})
    assert earned(numbers, "corloc").boxing is None
    assert all(step.seconds is None for step in earned(numbers, "corloc").steps)
    assert earned(completed(small()), "iou").break_even is None
    assert earned(completed(small() | {"questions": 0}), "corloc") is None
    assert earned(completed(small() | {"corloc": NOTHING}), "corloc") is None


def test_ticks_are_round_and_enclose():
    assert ticks(0, 97, 4) == [0, 50, 100]
    assert ticks(0.31, 0.52, 5) == [0.3, 0.35, 0.4, 0.45, 0.5, 0.55]
    assert ticks(0.5, 0.5, 5)[0] <= 0.5 < ticks(0.5, 0.5, 5)[-1]


def test_a_plot_thins_marks_and_keeps_both_ends():
    drawn = plot("x", [("answers", [(float(x), x / 1000) for x in range(1001)])])
    marks = drawn.lines[0].marks
    assert (len(marks) <= 41, marks[0], marks[-1]) == (True, (0.0, 0.0), (100.0, 100.0))


def test_digits():
    assert (number(None), number(0.12345), signed(-0.25), signed(-0.0001)) == (
        "–", "0.123", "−0.250", "0.000",
    )  # fmt: skip
    assert (chance(0.0004), chance(0.04)) == ("< 0.001", "0.040")
    assert shortened("abcdef", 4) == "abc…"


@pytest.mark.parametrize("classes", [1, 3, 60])
@pytest.mark.parametrize("masks", [True, False])
def test_the_terminal_needs_no_more_than_80_columns(classes, masks):
    console = Console(width=80)
    with console.capture() as capture:
        console.print(summary_table(report(classes, masks=masks)))
    text = capture.get()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text  # a long name goes on in the next line, nothing is cut
    rows = [line for line in text.splitlines() if line.startswith(("class ", "a class "))]
    assert len(rows) == 1 + min(classes, 40)  # and the head
    assert ("limited" in text) == masks
    assert f"{classes - 40} more in report.html" in text or classes <= 40


def test_v1_and_the_fixed_threshold_stand_beside_v2_with_the_reason():
    page = render_html(report(3))
    names = [page.index(f'scope="row">{name}<') for name in ("CorLoc", "MaxBoxAcc", "MaxBoxAccV2")]
    assert names == sorted(names)
    assert "a distractor that does not touch the object costs nothing there" in page


def test_the_page_tells_what_did_not_match_and_what_it_took():
    numbers = report(3) | {"usage": {"node_hours": 1.5, "cost": None, "retries": 2, "seconds": 9}}
    page = render_html(numbers)
    assert "<dt>resized</dt><dd>1 <span" in page
    assert "it was scaled to the image" in page
    assert "unknown classes" not in page  # none
    assert "<dt>node hours</dt><dd>1.5</dd>" in page
    assert "<dt>cost</dt>" not in page


def test_maps_alone_are_called_by_their_name():
    numbers = report(3) | {"baseline": "edges", "refined": "edges"}
    page = render_html(numbers)
    assert "<h1>Maps of edges: val</h1>" in page
    assert "Before and after" not in page
    console = Console(width=80)
    with console.capture() as capture:
        console.print(summary_table(numbers))
    assert capture.get().startswith("Maps of edges, val")


def test_other_maps_stand_in_the_table_of_rules():
    assert '<th scope="col">other maps</th>' in render_html(report(3))


def test_many_classes_the_largest_changes_are_drawn_and_all_are_listed():
    numbers = report(1000)
    page = render_html(numbers)
    assert len(page.encode()) < 5_000_000
    classes = by_gain(completed(numbers), "corloc")
    shown = largest(classes, "corloc", 40)
    assert len(shown) == 40
    compact = page[page.index('id="all"') :]
    assert compact.count("<tr><th") == 1001  # and the head
    assert page.count('class="whisker"') == 4 * 41


def test_a_report_without_what_newer_ones_have_is_shown():
    numbers = report(2)
    for name in ("seconds", "policy", "pxap", "top1_loc", "max_box_acc_threshold"):
        del numbers[name]
    assert "PxAP" not in render_html(numbers)
