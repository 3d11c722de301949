"""What is committed of a shard is the same whatever kill came before it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.storage.commit import Output, ShardCommit
from raypipe.storage.location import Location
from raypipe.storage.run import Plan, Run
from raypipe.tables import BOXES, EMBEDDINGS, REJECTS

OUTPUTS = (Output(BOXES, ("image_id", "x0"), group=2), Output(EMBEDDINGS, ("image_id",)))


class Killed(BaseException):
    """What no `except Exception` stops, as no code stops a kill."""


@pytest.fixture
def killed_at(monkeypatch) -> Callable[[int, Callable[[], None]], bool]:
    """Call something, and kill it before its n-th change of the disk; say whether it came to it."""

    def call(number: int, work: Callable[[], None]) -> bool:
        changes = iter(range(1, number + 1))

        def counted(change):
            def changed(*arguments, **options):
                if next(changes) == number:
                    raise Killed
                return change(*arguments, **options)

            return changed

        with monkeypatch.context() as patch:
            for name in ("write_bytes", "delete"):
                patch.setattr(Location, name, counted(getattr(Location, name)))
            try:
                work()
            except Killed:
                return True
        return False

    return call


def commit_in(folder: Path, threshold: float = 0.2) -> ShardCommit:
    plan = Plan("extract", {"threshold": threshold}, {})
    return ShardCommit(Run.at(str(folder)), plan, OUTPUTS)


def rows(images: Iterable[str]) -> dict[str, pa.Table]:
    """Return two boxes and an embedding an image, which its name decides."""
    boxes, embeddings = [], []
    for image in images:
        corners = {"image_id": image, "class": "cat", "y0": 0, "x1": 9, "y1": ord(image[0])}
        boxes += [corners | {"x0": at, "difficult": False} for at in (4, 2)]
        embeddings.append({"image_id": image, "embedding": [ord(image[0]), 1]})
    return {"boxes": BOXES.build(boxes), "embeddings": EMBEDDINGS.build(embeddings)}


def rejects(*images: str) -> pa.Table:
    return REJECTS.build(
        [{"image_id": name, "uri": f"/{name}", "reason": "empty", "detail": ""} for name in images]
    )


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*") if path.is_file()}  # fmt: skip


def test_a_shard_is_a_file_a_table_however_its_rows_come(tmp_path) -> None:
    one, other = commit_in(tmp_path / "one"), commit_in(tmp_path / "other")
    one.write("s", rows("abc"), rejects("d", "e"))
    assert one.done() == {"s"}
    assert one.rejected() == rejects("d", "e")
    boxes = one.parts(BOXES).rows(BOXES, "s")
    assert boxes["image_id"].to_pylist() == ["a", "a", "b", "b", "c", "c"]
    assert boxes["x0"].to_pylist() == [2, 4] * 3
    other.write("s", rows("cab"), rejects("e", "d"))
    assert files(tmp_path / "one") == files(tmp_path / "other")


def test_row_groups_are_as_asked(tmp_path) -> None:
    commit = commit_in(tmp_path)
    commit.write("s", rows("abc"), rejects())
    groups = [pq.ParquetFile(commit.parts(table).place("s").path).num_row_groups
              for table in (BOXES, EMBEDDINGS)]  # fmt: skip
    assert groups == [3, 1]


def test_only_a_shard_with_rejects_has_a_file_of_them(tmp_path) -> None:
    commit = commit_in(tmp_path)
    commit.write("good", rows("ab"), rejects())
    commit.write("bad", rows(""), rejects("d"))
    assert commit.rejects.done() == {"bad"}
    assert commit.done() == {"bad", "good"}, "a shard of nothing but rejects is done, too"


@pytest.mark.faults
def test_a_kill_between_any_two_writes_leaves_nothing_behind(tmp_path, killed_at) -> None:
    commit_in(tmp_path / "whole").write("s", rows("abc"), rejects("d", "e"))
    for number in range(1, 20):
        folder = tmp_path / str(number)
        commit = commit_in(folder)
        write = partial(commit.write, "s", rows("abc"), rejects("d", "e"))
        if not killed_at(number, write):
            break
        assert commit.done() == set(), "half a shard is no shard"
        write()
        assert files(folder) == files(tmp_path / "whole")
    assert number == len(OUTPUTS) + 2, "every write was killed once"


@pytest.mark.faults
def test_rejects_of_a_killed_attempt_do_not_outlive_a_better_one(tmp_path, killed_at) -> None:
    commit_in(tmp_path / "whole").write("s", rows("abcd"), rejects())
    commit = commit_in(tmp_path / "run")
    assert killed_at(2, partial(commit.write, "s", rows("abc"), rejects("d")))
    assert commit.rejects.done() == {"s"}
    commit.write("s", rows("abcd"), rejects())
    assert files(tmp_path / "run") == files(tmp_path / "whole")


@pytest.mark.faults
@pytest.mark.parametrize(
    ("recovered", "still"), [("de", ""), ("d", "e"), ("", "de")], ids=["all", "some", "none"]
)
def test_a_retry_is_as_if_it_had_worked_at_once_whatever_killed_it(
    tmp_path, killed_at, recovered, still
) -> None:
    commit_in(tmp_path / "whole").write("s", rows("abc" + recovered), rejects(*still))
    for number in range(1, 20):
        folder = tmp_path / str(number)
        commit = commit_in(folder)
        commit.write("s", rows("abc"), rejects("d", "e"))
        retry = partial(commit.write, "s", rows(recovered), rejects(*still), ["d", "e"])
        killed = killed_at(number, retry)
        if killed:
            assert commit.done() == {"s"}
            assert commit.rejected() == rejects("d", "e"), "what is not finished is still to do"
            retry()
        assert files(folder) == files(tmp_path / "whole")
        retry()
        assert files(folder) == files(tmp_path / "whole"), "once more changes nothing"
        if not killed:
            break
    assert number == len(OUTPUTS) + 2, "every write was killed once"


def test_a_retry_touches_the_images_it_names_and_no_other(tmp_path) -> None:
    commit = commit_in(tmp_path)
    commit.write("s", rows("ab"), rejects("c", "d", "e"))
    commit.write("s", rows("c"), rejects("d"), again=["c", "d"])
    found = commit.parts(EMBEDDINGS).rows(EMBEDDINGS, "s")
    assert found["image_id"].to_pylist() == ["a", "b", "c"]
    assert commit.rejected() == rejects("d", "e")


def test_finishing_counts_rows_and_removes_other_settings(tmp_path, capsys) -> None:
    old, new = commit_in(tmp_path, 0.2), commit_in(tmp_path, 0.3)
    old.write("s1", rows("abc"), rejects("d"))
    old.write("s2", rows("e"), rejects())
    new.write("s1", rows("ab"), rejects("c", "d"))
    assert new.finish() == {"boxes": 4, "embeddings": 2, "rejects": 2}
    assert old.done() == old.rejects.done() == set()
    assert new.done() == {"s1"}
    assert "extract: 5 files" in capsys.readouterr().err, "nothing is deleted in silence"
    new.finish()
    assert capsys.readouterr().err == ""


def test_the_content_says_which_images_were_rejected_wherever_they_lie(tmp_path) -> None:
    contents = []
    for number, shards in enumerate(
        ({"s1": "ab", "s2": ""}, {"s1": "b", "s2": "a"}, {"s1": "ab", "s2": "c"}, {"s1": "a"})
    ):
        commit = commit_in(tmp_path / str(number))
        assert commit.rejected_content() == ""
        for shard, images in shards.items():
            commit.write(shard, rows("z"), rejects(*images))
        contents.append(commit.rejected_content())
    assert contents[0] == contents[1]
    assert len({"", *contents}) == 4
