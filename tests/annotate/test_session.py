"""What annotators see of a run while they answer, and what the log says then."""

from __future__ import annotations

import threading

import pytest

from raypipe.annotate import labels
from raypipe.annotate.session import Session, StaleError, UnknownError
from raypipe.errors import InputError
from raypipe.storage.run import Run


def give(session: Session, run: Run, name: str, cluster: int, verdict: str, who: str = "ann"):
    membership = labels.clusters_of(run).memberships[name, cluster]
    return session.answer(who, (name, cluster), membership, verdict, seconds=1.3)


def test_answers_are_in_the_log_and_next_is_what_is_open(run: Run) -> None:
    session = Session(run)
    assert session.state("ann") == {
        "annotator": "ann", "answers": [], "can_undo": False, "can_redo": False, "answered": 0,
        "questions": 4, "seconds": None, "next": {"class": "cat", "cluster": 1, "page": "cat.html"},
    }  # fmt: skip
    state = give(session, run, "cat", 1, "object")
    assert (state["saved"], state["answered"], state["seconds"]) == (True, 1, 1.3)
    assert state["next"]["cluster"] == 2
    assert labels.verdicts(run) == {("cat", 1): "object"}
    for name, cluster in (("cat", 2), ("dog", 1), ("dog", 2)):
        state = give(session, run, name, cluster, "unsure")
    assert (state["answered"], state["next"]) == (4, None)
    (first,) = [row for row in session.state("ann")["answers"] if row["verdict"] == "object"]
    assert first | {"membership": "", "seconds": 1.3} == {
        "class": "cat", "cluster": 1, "membership": "", "verdict": "object", "seconds": 1.3,
        "note": "",
    }  # fmt: skip


def test_an_answer_sent_twice_is_recorded_once(run: Run) -> None:
    session = Session(run)
    for _ in range(2):
        assert give(session, run, "cat", 1, "object")["saved"]
    assert len(labels.history(run)) == 1
    give(session, run, "cat", 1, "unsure")
    assert len(labels.history(run)) == 2


def test_annotators_are_blind_to_each_other(run: Run) -> None:
    session = Session(run)
    give(session, run, "cat", 1, "object", "ann")
    assert session.state("bob")["answers"] == []
    assert session.undo("bob")["changed"] is None
    give(session, run, "cat", 1, "distractor", "bob")
    assert [row["verdict"] for row in session.state("ann")["answers"]] == ["object"]
    assert labels.verdicts(run) == {("cat", 1): "unsure"}


def test_undo_and_redo_outlive_the_process(run: Run) -> None:
    session = Session(run)
    give(session, run, "cat", 1, "object")
    give(session, run, "cat", 1, "distractor")
    changed = session.undo("ann")["changed"]
    assert changed | {"membership": ""} == {
        "class": "cat", "cluster": 1, "membership": "", "verdict": "object", "page": "cat.html",
    }  # fmt: skip
    assert labels.verdicts(run) == {("cat", 1): "object"}
    session = Session(run)
    state = session.undo("ann")
    assert (state["changed"]["verdict"], state["can_undo"], state["answered"]) == (None, False, 0)
    assert labels.verdicts(run) == {}
    session = Session(run)
    assert session.redo("ann")["changed"]["verdict"] == "object"
    session = Session(run)
    assert session.redo("ann")["changed"]["verdict"] == "distractor"
    assert session.redo("ann")["changed"] is None
    assert labels.verdicts(run) == {("cat", 1): "distractor"}


def test_what_others_do_to_the_run_is_noticed(run: Run, world) -> None:
    session = Session(run)
    session.state("ann")
    text = labels.template(run).replace("1,,", "1,o,").replace("2,,", "2,d,")
    labels.ingest(run, text.encode(), source="x", annotator="ann")
    assert session.state("ann")["answered"] == 4
    before = labels.clusters_of(run).memberships["dog", 1]
    world.regions["dog"] = world.regions["dog"][1:]
    world.write_clusters(run)
    assert session.state("ann")["answered"] == 3
    with pytest.raises(StaleError, match="cluster 1 of dog holds other regions"):
        session.answer("ann", ("dog", 1), before, "object")
    with pytest.raises(UnknownError, match="no cluster 7 of dog"):
        session.answer("ann", ("dog", 7), before, "object")
    run.step("cluster").delete()
    with pytest.raises(InputError, match="raypipe cluster|cluster has not been done"):
        session.state("ann")


def test_a_cluster_with_another_number_takes_the_answer(run: Run) -> None:
    session = Session(run)
    membership = labels.clusters_of(run).memberships["cat", 2]
    session.answer("ann", ("cat", 1), membership, "object")
    assert labels.verdicts(run) == {("cat", 2): "object"}


def test_an_answer_on_one_cluster_of_a_group_is_no_question_answered(shared) -> None:
    run = shared.run()
    session = Session(run)
    state = give(session, run, "*", 1, "object")
    assert (state["answered"], state["questions"], state["next"]["page"]) == (1, 2, "%2A.html")
    state = give(session, run, "cat", 1, "distractor")
    assert (state["answered"], state["next"]["cluster"]) == (1, 2)
    assert len(session.state("ann")["answers"]) == 2
    assert session.undo("ann")["changed"]["page"] == "cat.html"


def test_many_at_a_time_lose_nothing(run: Run) -> None:
    session = Session(run)
    keys = list(labels.clusters_of(run).memberships)

    def work(who: str) -> None:
        for key in keys:
            give(session, run, *key, "object" if who < "c" else "distractor", who)

    workers = [threading.Thread(target=work, args=(who,)) for who in "abcd"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert labels.answers(run).num_rows == 16
    for who in "abcd":
        assert Session(run).state(who)["answered"] == 4


def test_what_cannot_be_saved_is_not_believed(run: Run) -> None:
    session = Session(run)
    run.step("labels").write_bytes(b"a file where the folder should be")
    with pytest.raises(InputError, match="labels"):
        give(session, run, "cat", 1, "object")
    run.step("labels").delete()
    assert session.state("ann")["answered"] == 0
    assert give(session, run, "cat", 1, "object")["saved"]
