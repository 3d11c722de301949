"""The log of answers, and what it amounts to."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raypipe.annotate import labels
from raypipe.errors import InputError, LabelError
from raypipe.storage.run import Run

KEYS = [("cat", 1), ("cat", 2), ("dog", 1), ("dog", 2)]


def sheet(*verdicts: str, clustering: str = "0123456789abcdef") -> bytes:
    lines = [f"{name},{number},{verdict},{clustering}"
             for (name, number), verdict in zip(KEYS, verdicts, strict=True)]  # fmt: skip
    return "\n".join(["class,cluster,verdict,clustering", *lines]).encode()


def add(run: Run, *verdicts: str, who: str = "ann", partial: bool = False) -> labels.Ingested:
    return labels.ingest(
        run, sheet(*verdicts), source="labels.csv", annotator=who, allow_partial=partial
    )


def files(run: Run) -> list[str]:
    return run.step("labels").names()


def test_template_lists_the_clusters_of_the_run(run: Run) -> None:
    lines = labels.template(run).splitlines()
    assert lines[0] == "class,cluster,verdict,annotator,seconds,note,clustering"
    assert lines[1] == "cat,1,,,,,0123456789abcdef"
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


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"class\0", sheet("o", "o", "o", "bad")])
def test_a_refused_file_writes_nothing(run: Run, content: bytes) -> None:
    add(run, "o", "d", "u", "o")
    before = files(run)
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


def test_answers_to_another_clustering_do_not_count(run: Run, world) -> None:
    add(run, "o", "d", "o", "d")
    fingerprint = labels.labels_fingerprint(run)
    world.clusterings["dog"] = "fedcba9876543210"
    world.write_clusters(run)
    assert labels.verdicts(run) == {("cat", 1): "object", ("cat", 2): "distractor"}
    assert labels.labels_fingerprint(run) != fingerprint
    cat, dog = labels.status(run).classes
    assert (cat.answered, cat.object, cat.distractor, cat.stale, cat.missing) == (2, 1, 1, 0, ())
    assert (dog.answered, dog.stale, dog.missing) == (0, 2, (1, 2))
    with pytest.raises(LabelError, match=r"line 4: stale.*fedcba9876543210"):
        add(run, "o", "d", "o", "d")


def test_status_counts_labels_of_classes_that_are_gone(run: Run, world) -> None:
    add(run, "o", "d", "o", "d")
    del world.regions["dog"]
    world.write_clusters(run)
    status = labels.status(run)
    assert (status.clusters, status.answered, status.unknown) == (2, 2, 2)


def test_the_fingerprint_follows_the_verdicts_alone(run: Run) -> None:
    assert labels.labels_fingerprint(run) == ""
    assert labels.verdicts(run) == {}
    add(run, "o", "d", "u", "o")
    before = labels.labels_fingerprint(run)
    add(run, "o", "d", "u", "o", who="bob")
    assert labels.labels_fingerprint(run) == before
    add(run, "d", "d", "u", "o")
    assert labels.labels_fingerprint(run) != before
