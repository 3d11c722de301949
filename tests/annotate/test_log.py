"""The log on disk: what is appended stays, in order, whoever writes, whatever is put together."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raypipe.annotate import labels, log
from raypipe.errors import InputError, MissingError
from raypipe.storage.run import Run
from raypipe.tables import LABELS
from tests.annotate.answering import KEYS, add, answer, files, withdraw


def one(run: Run, verdict: str, who: str = "ann", key: tuple[str, int] = KEYS[0]) -> str:
    return labels.append(run, LABELS.build([answer(run, key, verdict, who)]))


def said(run: Run) -> list[tuple[str, str]]:
    return [(row["annotator"], row["verdict"]) for row in labels.history(run)]


def facts(run: Run) -> list[tuple[str, str, str, int, int]]:
    return [
        (item.name, item.kind, item.source, item.rows, item.start) for item in log.read(run).entries
    ]


def folder(run: Run) -> Path:
    return Path(str(run.step("labels")))


def test_entries_say_what_they_were(run: Run) -> None:
    add(run, "o", "d", "u", "o")
    one(run, "unsure")
    ingest, single = log.read(run).entries
    assert (ingest.number, ingest.kind, ingest.source, ingest.rows) == (
        1,
        "ingest",
        "labels.csv",
        4,
    )
    assert (single.number, single.kind, single.source, single.start) == (2, "answer", "", 4)
    assert log.read(run).rows(single)["verdict"].to_pylist() == ["unsure"]


def test_an_empty_log_has_no_rows(run: Run) -> None:
    assert log.read(run).table.schema == LABELS.schema
    assert log.read(run).entries == ()
    assert labels.compact(run) == 0


def test_files_put_together_mean_the_same(run: Run) -> None:
    add(run, "o", "d", "u", "o")
    for verdict in ("unsure", "distractor", "object"):
        one(run, verdict)
    withdraw(run, KEYS[1])
    history, entries, verdicts = labels.history(run), facts(run), labels.verdicts(run)
    assert labels.compact(run) == 5
    assert len(files(run)) == 1
    assert (labels.history(run), facts(run), labels.verdicts(run)) == (history, entries, verdicts)
    one(run, "unsure", "bob")
    assert log.read(run).entries[-1].number == 6
    assert labels.compact(run) == 2  # a file of several entries is put together like any other
    assert labels.history(run)[:-1] == history


def test_a_file_of_many_rows_is_not_written_again(run: Run, monkeypatch) -> None:
    monkeypatch.setattr(log, "_LARGE", 3)
    large = add(run, "o", "d", "u", "o").file
    one(run, "unsure")
    one(run, "object")
    assert labels.compact(run) == 2
    assert large in files(run)
    assert [entry.number for entry in log.read(run).entries] == [1, 2, 3]
    assert labels.compact(run) == 0


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.sampled_from(["object", "unsure", "withdrawn"]), st.sampled_from("ab")),
        min_size=2, max_size=6,
    ),
    st.sets(st.integers(0, 5)),
)  # fmt: skip
def test_ending_before_the_old_files_are_gone_changes_nothing(run: Run, given_, left) -> None:
    shutil.rmtree(folder(run), ignore_errors=True)
    for verdict, who in given_:
        one(run, verdict, who)
    before, entries = labels.history(run), facts(run)
    old = {name: (folder(run) / name).read_bytes() for name in files(run)}
    labels.compact(run)
    for place, (name, content) in enumerate(old.items()):
        if place in left:
            (folder(run) / name).write_bytes(content)
    assert (labels.history(run), facts(run)) == (before, entries)
    labels.compact(run)
    assert (labels.history(run), facts(run)) == (before, entries)


def test_a_slow_writer_of_an_earlier_number_keeps_its_place(run: Run, tmp_path: Path) -> None:
    one(run, "object", "ann")
    late = one(run, "distractor", "bob")
    (folder(run) / late).rename(tmp_path / late)  # its number is taken, its file not there yet
    labels.append(run, LABELS.build([answer(run, KEYS[0], "unsure", "eve")]))
    one(run, "unsure", "bob")
    labels.compact(run)
    (tmp_path / late).rename(folder(run) / late)
    assert sorted(said(run)[1:3]) == [("bob", "distractor"), ("eve", "unsure")]
    assert said(run)[3] == ("bob", "unsure")  # the later one counts


@pytest.mark.faults
def test_writers_at_once_lose_nothing(run: Run, monkeypatch) -> None:
    monkeypatch.setattr(log, "_LOOSE", 8)  # so that files are put together all the while

    def write(who: str) -> None:
        for verdict in ["object", "distractor", "unsure"] * 6:
            labels.record(run, LABELS.build([answer(run, KEYS[0], verdict, who)]))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, ["w0", "w1", "w2"]))
    for number in range(3):
        own = [verdict for who, verdict in said(run) if who == f"w{number}"]
        assert own == ["object", "distractor", "unsure"] * 6
    assert len(files(run)) < 30


def test_names_and_notes_are_trimmed(run: Run) -> None:
    row = answer(run, KEYS[0], "object", " ann ") | {"note": "\tsee\0 this\n"}
    labels.append(run, LABELS.build([row]))
    assert [(row["annotator"], row["note"]) for row in labels.history(run)] == [("ann", "see this")]


def test_a_damaged_file_is_named(run: Run) -> None:
    add(run, "o", "d", "u", "o")
    (folder(run) / files(run)[0]).write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"labels/00001-"):
        labels.verdicts(run)


def test_the_log_may_lie_on_s3(s3) -> None:
    run = Run.at(s3.uri(f"{s3.bucket()}/run"))
    for verdict in ("object", "unsure", "distractor"):
        row = {"class": "cat", "cluster": 1, "verdict": verdict, "annotator": "ann", "note": "",
               "membership": "aaaa"}  # fmt: skip
        labels.append(run, LABELS.build([row]))
    assert labels.compact(run) == 3
    assert len(files(run)) == 1
    assert [row["verdict"] for row in labels.history(run)] == ["object", "unsure", "distractor"]
    with pytest.raises(MissingError):  # so that a reader lists again what was put together
        (run.step("labels") / "00001-000000000000.parquet").read_table()
