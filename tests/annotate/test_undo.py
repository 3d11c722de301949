"""Taking back what was recorded."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raypipe.annotate import labels, log
from raypipe.annotate.merge import merge
from raypipe.annotate.undo import records, undo
from raypipe.errors import LabelError
from raypipe.storage.run import Run
from raypipe.tables import LABELS
from tests.annotate.answering import KEYS, add, answer, files, give, split


def standing(run: Run) -> list[tuple[str, int, str, str, float | None, str]]:
    names = ("class", "cluster", "annotator", "verdict", "seconds", "note")
    return [tuple(row[name] for name in names) for row in labels.answers(run).to_pylist()]


def test_undo_of_the_only_ingest_leaves_nothing(run: Run) -> None:
    add(run, "o", "d", "u", "o")
    done = undo(run)
    assert (done.withdrawn, done.restored, done.kept) == (4, 0, 0)
    assert labels.verdicts(run) == {}
    assert len(files(run)) == 2  # nothing was deleted
    assert add(run, "o", "d", "u", "o").new == 4


def test_undo_restores_what_stood_before(run: Run) -> None:
    add(run, "o", "d", "u", "o")
    before = standing(run)
    add(run, "d", "d", "d", "d")
    add(run, "u", "u", "u", "u", who="bob")
    done = undo(run, "2")
    assert (done.withdrawn, done.restored) == (0, 3)
    assert [row for row in standing(run) if row[2] == "ann"] == before
    undo(run, "3")
    assert standing(run) == before


def test_undo_twice_is_refused(run: Run) -> None:
    add(run, "o", "d", "u", "o")
    add(run, "d", "d", "u", "o")
    undo(run)
    before = files(run)
    for number in (None, "2"):
        with pytest.raises(LabelError, match="2 is taken back already, by 3"):
            undo(run, number)
    assert files(run) == before
    undo(run, "1")
    assert labels.verdicts(run) == {}


def test_later_answers_are_left_alone(run: Run) -> None:
    add(run, "o", "d", "u", "o")
    give(run, {KEYS[0]: "d"}, partial=True)
    done = undo(run, "1")
    assert (done.withdrawn, done.kept) == (3, 1)
    assert labels.verdicts(run) == {KEYS[0]: "distractor"}
    undo(run, "2")  # what it had replaced was taken back: it does not come back
    assert labels.verdicts(run) == {}


def test_an_ingest_of_which_nothing_stands_is_not_undone(run: Run) -> None:
    add(run, "o", "o", "o", "o")
    add(run, "d", "d", "d", "d")
    with pytest.raises(LabelError, match="taking 1 back changes nothing"):
        undo(run, "1")


@pytest.mark.parametrize(
    ("number", "part"),
    [("7", "no entry 7"), ("x", "no entry x"), ("2", "2 is an undo")],
)
def test_what_cannot_be_undone(run: Run, number: str, part: str) -> None:
    with pytest.raises(LabelError, match="nothing was ingested"):
        undo(run)
    add(run, "o", "d", "u", "o")
    undo(run)
    with pytest.raises(LabelError, match=part):
        undo(run, number)


def test_two_entries_of_one_number_are_named_whole(run: Run) -> None:
    add(run, "o", "d", "u", "o")
    place = run.step("labels")
    rows = LABELS.build([answer(run, key, "object", "bob") for key in KEYS])
    (place / "00001-000000000000.parquet").write_table(rows)
    with pytest.raises(LabelError, match="several entries") as caught:
        undo(run, "1")
    assert "00001-000000000000" in caught.value.remedy
    assert {item.number for item in records(run)} == {item.name for item in log.read(run).entries}
    assert undo(run, log.read(run).entries[1].name).name != "00001-000000000000"


def test_answers_of_clusters_that_are_gone_are_taken_back_too(run: Run, world) -> None:
    add(run, "o", "d", "o", "d")
    whole = list(world.regions["dog"])
    split(world, "dog", 1, 3)
    undo(run)
    world.regions["dog"] = whole
    world.write_clusters(run)
    assert labels.verdicts(run) == {}


def test_a_merge_is_undone(run: Run) -> None:
    add(run, "o", "d", "u", "o")
    add(run, "d", "d", "u", "u", who="bob")
    before = standing(run)
    merge(run)
    labels.compact(run)
    assert undo(run).restored == 8
    assert standing(run) == before


def test_the_log_lists_what_was_recorded(run: Run) -> None:
    add(run, "o", "d", "u", "o", who="bob")
    for verdict in ("object", "unsure"):
        labels.append(run, LABELS.build([answer(run, KEYS[0], verdict)]))
    undo(run)
    ingest, answers, undone = records(run)
    assert (ingest.number, ingest.kind, ingest.source) == ("1", "ingest", "labels.csv")
    assert (ingest.annotators, ingest.answers, ingest.undone) == (("bob",), 4, True)
    assert (answers.number, answers.kind, answers.answers) == ("2–3", "answer", 2)
    assert (undone.number, undone.kind, undone.undoes, undone.undone) == ("4", "undo", 1, False)
    assert ingest.at <= answers.at <= undone.at


VERDICT = st.sampled_from("odu")


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.lists(VERDICT, min_size=4, max_size=4), st.sampled_from("ab")),
                min_size=1, max_size=5), st.data())  # fmt: skip
def test_undone_ingests_might_never_have_been(run: Run, ingests, data) -> None:
    run.step("labels").delete()
    written = [(given_, who) for given_, who in ingests if add(run, *given_, who=who).file]
    off = data.draw(st.sets(st.integers(1, len(written))))
    for number in sorted(off, reverse=True):  # the latest first: none is replaced by a later one
        with contextlib.suppress(LabelError):  # where it changes nothing
            undo(run, str(number))
    expected = {}
    for number, (given_, who) in enumerate(written, 1):
        if number not in off:
            for key, verdict in zip(KEYS, given_, strict=True):
                expected[key, who] = verdict
    found = {((row[0], row[1]), row[2]): row[3][0] for row in standing(run)}
    assert found == expected
