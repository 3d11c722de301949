"""Files named after the shard and the settings that they come from."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from raypipe.errors import InputError
from raypipe.storage.parts import Parts
from raypipe.storage.run import Plan, Run
from raypipe.tables import EMBEDDINGS, REJECTS


@pytest.fixture
def run(tmp_path) -> Run:
    return Run.at(str(tmp_path / "run"))


def plan(**config) -> Plan:
    return Plan("extract", config, {"index": "aaaa"})


def rejects(*names: str) -> pa.Table:
    return REJECTS.build(
        [{"image_id": name, "uri": "u", "reason": "empty", "detail": ""} for name in names]
    )


def test_parts_are_named_by_shard_and_fingerprint(run) -> None:
    parts = Parts(run, plan(), "rejects")
    name = f"{run}/extract/rejects/dog%2Fcat.{plan().fingerprint[:8]}.parquet"
    assert str(parts.place("dog/cat")) == name
    assert parts.done() == set()
    parts.place("dog/cat").write_table(rejects("a"))
    assert parts.done() == {"dog%2Fcat"}


def test_parts_of_a_finished_step_are_found_from_its_manifest(run) -> None:
    own = plan(only=["b", "a"], c=1e-3)
    Parts(run, own, "rejects").place("s").write_table(rejects("a"))
    run.finish(own, {})
    assert Parts.of(run, run.require("extract"), "rejects").done() == {"s"}


def test_it_is_known_when_a_part_was_written(run) -> None:
    parts = Parts(run, plan(), "rejects")
    parts.place("s").write_table(rejects("a"))
    (written,) = parts.written().items()
    assert written[0] == "s"
    assert abs((datetime.now(UTC) - written[1]).total_seconds()) < 60


def test_rows_are_counted_over_all_parts(run) -> None:
    parts = Parts(run, plan(), "rejects")
    assert parts.count() == 0
    for name, images in (("s1", "abc"), ("s2", "de"), ("s3", "")):
        parts.place(name).write_table(rejects(*images))
    Parts(run, plan(threshold=0.3), "rejects").place("s1").write_table(rejects("x"))
    assert parts.count() == 5


def test_two_configurations_lie_side_by_side_until_one_is_finished(run) -> None:
    one, two = Parts(run, plan(), "rejects"), Parts(run, plan(threshold=0.3), "rejects")
    for parts, name in ((one, "s1"), (one, "s2"), (two, "s1")):
        parts.place(name).write_table(rejects("a"))
    assert one.done() == {"s1", "s2"}
    assert two.remove_others() == 2
    assert (one.done(), two.done()) == (set(), {"s1"})
    assert two.remove_others() == 0


def test_only_files_that_raypipe_wrote_are_removed(run) -> None:
    parts = Parts(run, plan(), "rejects")
    parts.place("s").write_table(rejects("a"))
    killed = f".s{parts.suffix}.12345678.tmp"  # as a process that was killed leaves it
    own = ["mine.parquet", "notes.txt", "s.backup.parquet", "a.tmp"]
    for name in (*own, killed):
        (parts.folder / name).write_bytes(b"x")
    assert parts.done() == {"s"}
    assert parts.remove_others() == 1
    assert parts.folder.names() == sorted([*own, f"s{parts.suffix}"])


def test_parts_are_read_in_the_order_of_their_names(run) -> None:
    parts = Parts(run, plan(), "rejects")
    for name in ("b", "c", "a"):
        parts.place(name).write_table(rejects(name))
    read = [table["image_id"].to_pylist() for table in parts.read(REJECTS, ["image_id"])]
    assert read == [["a"], ["b"], ["c"]]


def test_a_shard_without_a_file_has_no_rows(run) -> None:
    parts = Parts(run, plan(), "rejects")
    parts.place("s").write_table(rejects("a"))
    assert parts.rows(REJECTS, "s") == rejects("a")
    assert parts.rows(REJECTS, "other") == rejects()


def test_a_part_that_is_another_table_is_refused(run) -> None:
    parts = Parts(run, plan(), "rejects")
    parts.place("s").write_table(rejects("a"))
    for read in (lambda: list(parts.read(EMBEDDINGS)), lambda: parts.rows(EMBEDDINGS, "s")):
        with pytest.raises(InputError, match=r"s\.\w{8}\.parquet: not a raypipe embeddings table"):
            read()
