"""The log of answers, and what it amounts to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raypipe.annotate import labels
from raypipe.errors import InputError, LabelError
from raypipe.storage.run import Run
from raypipe.tables import LABELS
from tests.annotate.answering import (
    KEYS,
    add,
    answer,
    files,
    give,
    renumber,
    sheet,
    split,
    withdraw,
)


def test_template_lists_the_clusters_of_the_run(run: Run) -> None:
    lines = labels.template(run).splitlines()
    assert lines[0] == "class,cluster,verdict,annotator,seconds,note,membership"
    assert lines[1] == f"cat,1,,,,,{labels.clusters_of(run).memberships['cat', 1]}"
    assert len(lines) == 5


def test_an_unclustered_run_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="cluster has not been done"):
        labels.template(Run.at(str(tmp_path)))


def test_ingest_appends_one_numbered_file(run: Run) -> None:
    first = add(run, "o", "d", "u", "o")
    assert (first.answers, first.object, first.distractor, first.unsure) == (4, 2, 1, 1)
    second = add(run, "o", "d", "d", "o")
    assert files(run) == [first.file, second.file]
    assert first.file.startswith("00001-")
    assert second.file.startswith("00002-")
    assert labels.verdicts(run) == dict(
        zip(KEYS, ("object", "distractor", "distractor", "object"), strict=True)
    )


def test_ingesting_twice_changes_nothing(run: Run) -> None:
    add(run, "o", "d", "u", "o")
    before = files(run)
    again = add(run, "o", "d", "u", "o")
    assert again.file == ""
    assert again.answers == 4
    assert files(run) == before


def test_going_back_to_an_earlier_answer_counts(run: Run) -> None:
    add(run, "o", "o", "o", "o")
    add(run, "d", "d", "d", "d")
    assert add(run, "o", "o", "o", "o").file.startswith("00003-")
    assert set(labels.verdicts(run).values()) == {"object"}


def test_the_same_answers_of_another_annotator_are_new(run: Run) -> None:
    add(run, "o", "o", "o", "o")
    assert add(run, "o", "o", "o", "o", who="bob").file


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"class\0", None])
def test_a_refused_file_writes_nothing(run: Run, content: bytes | None) -> None:
    add(run, "o", "d", "u", "o")
    before = files(run)
    if content is None:
        content = sheet(run, dict(zip(KEYS, ("o", "o", "o", "bad"), strict=True)))
    with pytest.raises(LabelError, match=r"labels\.csv"):
        labels.ingest(run, content, source="labels.csv")
    assert files(run) == before


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_label_error(run: Run, content: bytes) -> None:
    with pytest.raises(LabelError):
        labels.ingest(run, content, source="x")
    assert files(run) == []


def test_the_majority_decides_and_ties_are_unsure(run: Run) -> None:
    add(run, "o", "o", "o", "u", who="ann")
    add(run, "o", "d", "d", "u", who="bob")
    assert labels.verdicts(run)["cat", 1] == "object"
    assert labels.verdicts(run)["cat", 2] == "unsure"
    add(run, "d", "d", "u", "o", who="eve")
    assert labels.verdicts(run) == dict(
        zip(KEYS, ("object", "distractor", "unsure", "unsure"), strict=True)
    )
    assert labels.answers(run).num_rows == 12


def test_partial_answers_leave_what_stands(run: Run) -> None:
    add(run, "o", "", "", "", partial=True)
    assert labels.verdicts(run) == dict(zip(KEYS, ("object", *["unsure"] * 3), strict=True))
    add(run, "", "d", "", "", who="bob", partial=True)
    assert labels.verdicts(run)["cat", 1] == "object"
    assert labels.answers(run).num_rows == 5  # bob answered one cluster and was given no other


def test_splitting_a_cluster_leaves_the_others_answers(run: Run, world) -> None:
    before = sheet(run, dict(zip(KEYS, ("o", "d", "o", "d"), strict=True)))
    add(run, "o", "d", "o", "d")
    split(world, "dog", 1, 3)
    cats = {("cat", 1): "object", ("cat", 2): "distractor"}
    assert labels.verdicts(run) == {**cats, ("dog", 2): "distractor"}
    cat, dog = labels.status(run).classes
    assert (cat.answered, cat.object, cat.distractor, cat.stale, cat.missing) == (2, 1, 1, 0, ())
    assert (dog.answered, dog.distractor, dog.stale, dog.missing) == (1, 1, 1, (1, 3))
    now = labels.clusters_of(run).memberships["dog", 1]
    with pytest.raises(LabelError, match=f"line 4: stale.*{now} now") as caught:
        labels.ingest(run, before, source="x")
    assert caught.value.message.count("stale") == 1
    give(run, {("dog", 1): "o", ("dog", 3): "u"}, partial=True)
    assert labels.status(run).answered == 5
    assert labels.verdicts(run)["dog", 2] == "distractor"


def test_a_cluster_keeps_its_answer_under_another_number(run: Run, world) -> None:
    add(run, "o", "d", "o", "d")
    before = files(run)
    renumber(world, "dog", {1: 2, 2: 1})
    assert labels.verdicts(run) == {
        ("cat", 1): "object", ("cat", 2): "distractor",
        ("dog", 1): "distractor", ("dog", 2): "object",
    }  # fmt: skip
    rows = labels.answers(run).to_pylist()
    memberships = labels.clusters_of(run).memberships
    assert all(memberships[row["class"], row["cluster"]] == row["membership"] for row in rows)
    assert add(run, "o", "d", "d", "o").file == ""  # the same answers, by their numbers of now
    assert files(run) == before
    add(run, "o", "d", "o", "o")
    assert labels.verdicts(run)["dog", 1] == "object"


def test_a_cluster_that_comes_back_has_its_answer_again(run: Run, world) -> None:
    add(run, "o", "d", "o", "d")
    whole = list(world.regions["dog"])
    split(world, "dog", 1, 3)
    world.regions["dog"] = whole
    world.write_clusters(run)
    assert labels.verdicts(run)["dog", 1] == "object"


def test_answers_of_an_older_raypipe_are_stale(run: Run) -> None:
    add(run, "o", "d", "u", "o")
    place = run.step("labels") / files(run)[0]
    rows = place.read_table().rename_columns({"membership": "clustering"})
    place.write_table(rows.set_column(6, "clustering", [["0123456789abcdef"] * 4]))
    assert labels.verdicts(run) == {}
    assert [item.stale for item in labels.status(run).classes] == [1, 1]
    add(run, "o", "d", "u", "o")
    assert len(labels.verdicts(run)) == 4


GROUPS = {("*", 1): "o", ("*", 2): "d"}


def test_an_answer_on_a_group_holds_for_its_clusters(shared) -> None:
    run = shared.run()
    assert len(labels.template(run).splitlines()) == 3
    give(run, GROUPS)
    names = ("cat", "dog", "cow")
    assert labels.verdicts(run) == {
        (name, number): verdict
        for name in names
        for number, verdict in ((1, "object"), (2, "distractor"))
    }
    assert labels.questions(run) == {"*": 2}
    status = labels.status(run)
    assert (status.questions, status.answered) == (2, 2)
    by_name = {item.name: item for item in status.classes}
    assert set(by_name) == {*names, "*"}
    assert (by_name["*"].clusters, by_name["*"].object, by_name["*"].missing) == (2, 1, ())
    cat = by_name["cat"]
    assert (cat.clusters, cat.questions, cat.settled, cat.overrides) == (2, 0, 2, 0)
    assert (cat.object, cat.distractor, cat.missing) == (1, 1, ())


def test_a_clusters_own_answer_overrides_its_groups(shared) -> None:
    run = shared.run()
    give(run, {**GROUPS, ("cat", 2): "o", ("dog", 1): "u"})
    verdicts = labels.verdicts(run)
    assert (verdicts["cat", 2], verdicts["dog", 1]) == ("object", "unsure")
    assert (verdicts["cat", 1], verdicts["dog", 2]) == ("object", "distractor")
    assert labels.questions(run) == {"*": 2, "cat": 1, "dog": 1}
    by_name = {item.name: item for item in labels.status(run).classes}
    assert [by_name[name].overrides for name in ("cat", "dog", "cow")] == [1, 1, 0]
    assert (by_name["cat"].object, by_name["dog"].unsure) == (2, 1)
    give(run, GROUPS)  # a later answer on the group leaves what was said of one cluster
    assert labels.verdicts(run)["cat", 2] == "object"


def test_a_group_without_an_answer_leaves_its_clusters_without(shared) -> None:
    run = shared.run()
    with pytest.raises(LabelError, match="no line about cluster 2 of"):
        give(run, {("*", 1): "o", ("cat", 2): "d"})
    labels.record(run, LABELS.build([answer(run, ("*", 1)), answer(run, ("cat", 2))]))
    assert labels.verdicts(run) == {
        ("cat", 1): "object", ("dog", 1): "object", ("cow", 1): "object", ("cat", 2): "object",
    }  # fmt: skip
    status = labels.status(run)
    assert (status.questions, status.answered) == (2, 1)
    assert [item.missing for item in status.classes if item.name == "*"] == [(2,)]
    assert [item.settled for item in status.classes if item.name != "*"] == [2, 1, 1]


def test_a_group_of_other_clusters_has_to_be_answered_anew(shared) -> None:
    run = shared.run()
    give(run, {**GROUPS, ("cow", 2): "o"})
    shared.groups["cow", 2] = 1
    shared.write_clusters(run)
    assert labels.verdicts(run) == {("cow", 2): "object"}
    star = next(item for item in labels.status(run).classes if item.name == "*")
    assert (star.stale, star.missing) == (2, (1, 2))


def test_status_counts_labels_of_classes_that_are_gone(run: Run, world) -> None:
    add(run, "o", "d", "o", "d")
    del world.regions["dog"]
    world.write_clusters(run)
    status = labels.status(run)
    assert (status.questions, status.answered, status.unknown) == (2, 2, 2)


def test_a_withdrawn_answer_counts_for_nothing(run: Run) -> None:
    add(run, "o", "d", "u", "o")
    assert withdraw(run, ("cat", 1))
    assert ("cat", 1) not in labels.verdicts(run)
    cat = labels.status(run).classes[0]
    assert (cat.object, cat.missing, cat.stale) == (0, (1,), 0)
    assert labels.answers(run).num_rows == 3
    assert withdraw(run, ("cat", 1)) == ""
    assert withdraw(run, ("cat", 2), "bob") == ""  # there is nothing to take back
    assert labels.verdicts(run)["cat", 2] == "distractor"
    add(run, "o", "d", "u", "o")
    assert labels.verdicts(run)["cat", 1] == "object"


def test_a_withdrawn_answer_leaves_the_other_annotators(run: Run) -> None:
    add(run, "o", "d", "u", "o")
    add(run, "d", "d", "u", "o", who="bob")
    withdraw(run, ("cat", 1))
    assert labels.verdicts(run)["cat", 1] == "distractor"


def test_a_withdrawn_answer_is_not_stale(run: Run, world) -> None:
    add(run, "o", "d", "o", "d")
    withdraw(run, ("dog", 1))
    split(world, "dog", 1, 3)
    assert labels.status(run).classes[1].stale == 0


def test_answers_say_when_they_were_recorded(run: Run) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    add(run, "o", "d", "u", "o")
    assert all(before <= row["at"] <= datetime.now(UTC) for row in labels.history(run))


def test_files_without_a_time_are_read(run: Run) -> None:
    add(run, "o", "d", "u", "o")
    place = run.step("labels") / files(run)[0]
    place.write_table(place.read_table().drop_columns(["at"]))
    assert len(labels.verdicts(run)) == 4
    assert {row["at"] for row in labels.history(run)} == {None}
    assert add(run, "o", "d", "u", "o").file == ""


def test_seconds_are_those_of_the_answers_that_count_where_all_have_some(run: Run) -> None:
    def given(times: dict[tuple[str, int], float | None], who: str) -> None:
        rows = [answer(run, key, who=who) | {"seconds": time} for key, time in times.items()]
        labels.record(run, LABELS.build(rows))

    cat, other = (key for key in KEYS if key[0] == "cat")
    dog = next(key for key in KEYS if key[0] == "dog")
    given({cat: 9.0, other: 3.0, dog: None}, "ann")
    given({cat: 1.5}, "ann")  # thought again: the first answer does not count any more
    given({cat: 2.0}, "bob")
    assert labels.seconds(run) == {"cat": 6.5}
