"""Undo and redo follow from the log alone, whatever a person does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raypipe.annotate.history import History

STEPS = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 3), st.sampled_from(["object", "distractor", "unsure"])),
        st.sampled_from(["undo", "redo"]),
    ),
    max_size=30,
)


def row(question: int, verdict: str, seconds: float) -> dict:
    return {"class": "cat", "cluster": question, "membership": f"m{question}", "annotator": "ann",
            "verdict": verdict, "seconds": seconds, "note": ""}  # fmt: skip


def verdicts(rows: list[dict]) -> dict[int, str]:
    return {row["cluster"]: row["verdict"] for row in rows}


@given(STEPS)
def test_as_a_list_of_answers_with_a_mark_in_it(steps) -> None:
    """What an editor does: undo moves the mark back, redo forth, an answer cuts what is behind."""
    answers: list[dict] = []
    mark = 0
    log: list[dict] = []
    history = History()
    for time, step in enumerate(steps):
        if step == "undo":
            rows, mark = history.undo(), max(mark - 1, 0)
        elif step == "redo":
            rows, mark = history.redo(), min(mark + 1, len(answers))
        else:
            rows = [row(*step, seconds=time)]
            answers = [*answers[:mark], rows[0]]
            mark += 1
        for new in rows:
            history.add(new)
        log += rows
        for one in (history, History(log)):  # this process, and one that reads the log anew
            assert verdicts(one.standing()) == verdicts(answers[:mark])
            assert bool(one.undo()) == (mark > 0)
            assert bool(one.redo()) == (mark < len(answers))


def test_an_answer_sent_twice_is_one() -> None:
    history = History([row(1, "object", 1.0), row(1, "object", 1.0)])
    assert history.stands(row(1, "object", 1.0))
    assert not history.stands(row(1, "object", 2.0))
    for new in history.undo():
        history.add(new)
    assert history.standing() == []
    assert not history.stands(row(1, "object", 1.0))


def test_an_answer_in_the_middle_may_be_taken_back() -> None:
    """An ingest is undone as a whole: not only the last answer."""
    history = History([row(1, "object", 1.0), row(2, "unsure", 1.0), row(1, "withdrawn", 2.0)])
    assert verdicts(history.standing()) == {2: "unsure"}
    assert verdicts(history.undo()) == {2: "withdrawn"}
    assert verdicts(history.redo()) == {1: "object"}
