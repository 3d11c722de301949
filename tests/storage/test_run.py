"""Manifests, the state of a step, and files named after what went into them."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.errors import ConfigError, InputError
from raypipe.storage.parts import Parts
from raypipe.storage.run import Plan, Run, fingerprint, slug
from raypipe.tables import EMBEDDINGS, REJECTS, SCHEMA_VERSION

CONFIG: dict[str, Any] = {"threshold": 0.2, "localizer": {"name": "cam", "layer": "layer3"}}


@pytest.fixture
def run(tmp_path) -> Run:
    return Run.at(str(tmp_path / "run"))


def plan(config=None, upstream=None) -> Plan:
    return Plan("extract", config or CONFIG, upstream or {"index": "aaaa"})


def rejects(*names: str) -> pa.Table:
    return REJECTS.build(
        [{"image_id": name, "uri": "u", "reason": "empty", "detail": ""} for name in names]
    )


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../up", "/etc/passwd", "a/b\\c", "\0", "ä" * 300, "x" * 300, "con:aux|*?<>",
     "manifest.json", "\n", "CAT"],
)  # fmt: skip
def test_a_slug_is_a_safe_file_name(tmp_path, name) -> None:
    file = tmp_path / f"{slug(name)}.parquet"
    file.write_bytes(b"x")
    assert file.parent.resolve() == file.resolve().parent == tmp_path.resolve()
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert not set(slug(name)) & set('/\\.:*?"<>|\0\n')
    assert len(file.name.encode()) < 200


@given(st.lists(st.text(max_size=200), min_size=2, max_size=20, unique=True))
def test_different_names_have_different_slugs(names) -> None:
    assert len({slug(name) for name in names}) == len(names)


@given(st.text(min_size=150), st.text(min_size=1))
def test_long_names_differ_by_their_ends(name, more) -> None:
    assert slug(name) != slug(name + more)


@pytest.mark.parametrize("name", ["n01440764", "potted plant", "crane (bird)", "a,b+c=d@e"])
def test_common_names_stay_readable(name) -> None:
    assert slug(name) == name


# -- fingerprints and manifests -------------------------------------------------------------------


def test_the_fingerprint_does_not_depend_on_order_but_on_everything_else() -> None:
    first = fingerprint({"a": 1, "b": [1, 2]}, {"x": "1"})
    assert fingerprint({"b": [1, 2], "a": 1}, {"x": "1"}) == first
    assert len(first) == 16
    others = [({"a": 1, "b": [2, 1]}, {"x": "1"}), ({"a": 2, "b": [1, 2]}, {"x": "1"}),
              ({"a": 1, "b": [1, 2]}, {"x": "2"}), ({"a": 1, "b": [1, 2]}, {})]  # fmt: skip
    assert len({first, *(fingerprint(*other) for other in others)}) == 5


def test_the_fingerprint_is_the_same_everywhere() -> None:
    # Written down: a change here makes every run of every user stale.
    assert fingerprint({"a": 1}, {"x": "1"}) == "1546a3be666dc698"


def test_a_manifest_comes_back_as_it_was_written(run) -> None:
    written = run.finish(plan(), {"maps": 3}, {"index_set": "train"})
    assert run.manifest("extract") == written
    assert written.counts == {"maps": 3}
    assert written.config == CONFIG
    assert written.upstream == {"index": "aaaa"}
    assert written.details == {"index_set": "train"}
    assert written.schema_version == SCHEMA_VERSION
    assert {"raypipe", "torch", "ray"} <= set(written.versions)
    assert written.created.endswith("+00:00")
    assert run.require("extract") == written


def test_a_missing_step_names_the_command(run) -> None:
    assert run.manifest("refine/val") is None
    with pytest.raises(InputError, match="step refine/val has not been done") as caught:
        run.require("refine/val")
    assert caught.value.remedy == f"run `raypipe refine --run {run}` first"


def test_tables_of_a_newer_version_are_refused(run) -> None:
    run.finish(plan(), {})
    place = run.step("extract") / "manifest.json"
    content = json.loads(place.read_text())
    content |= {"schema_version": SCHEMA_VERSION + 1, "something_new": True}
    place.write_bytes(json.dumps(content).encode())
    with pytest.raises(ConfigError, match="newer raypipe") as caught:
        run.manifest("extract")
    assert "upgrade" in caught.value.remedy
    with pytest.raises(ConfigError):
        run.state(plan())


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "{}", '{"schema_version": "x"}', '{"schema_version": 1}',
     '{"schema_version": 1, "nonsense": 2}'],
)  # fmt: skip
def test_a_damaged_manifest_is_an_input_error(run, content) -> None:
    (run.step("extract") / "manifest.json").write_bytes(content.encode())
    with pytest.raises(InputError, match=r"extract/manifest\.json: not a manifest") as caught:
        run.manifest("extract")
    assert caught.value.remedy == "delete it and run extract again"


def test_a_run_is_not_a_file(tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="is a file"):
        Run.at(str(tmp_path / "file"))


def test_opening_a_run_creates_nothing(tmp_path) -> None:
    run = Run.at(str(tmp_path / "run"))
    assert run.state(plan()) == ("missing", [])
    assert list(tmp_path.iterdir()) == []


# -- states ---------------------------------------------------------------------------------------


def test_a_step_goes_from_missing_over_partial_to_done(run) -> None:
    assert run.state(plan()) == ("missing", [])
    Parts(run, plan(), "maps").place("s").write_table(rejects("a"))
    assert run.state(plan()) == ("partial", [])
    run.finish(plan(), {})
    assert run.state(plan()) == ("done", [])
    run.reopen("extract")
    assert run.state(plan()) == ("partial", [])
    run.reopen("extract")


@pytest.mark.parametrize(
    ("config", "upstream", "reasons"),
    [
        (CONFIG | {"threshold": 0.3}, None, ["threshold was 0.2, is 0.3"]),
        (CONFIG | {"localizer": {"name": "cam", "layer": "layer2"}}, None,
         ["localizer.layer was 'layer3', is 'layer2'"]),
        (CONFIG | {"seed": 1}, None, ["seed was None, is 1"]),
        ({"threshold": 0.2}, None,
         ["localizer.layer was 'layer3', is None", "localizer.name was 'cam', is None"]),
        (None, {"index": "bbbb"}, ["index has changed"]),
        (CONFIG | {"threshold": 1}, {"index": "aaaa", "fit": "cccc"},
         ["threshold was 0.2, is 1", "fit has changed"]),
    ],
)  # fmt: skip
def test_a_stale_step_names_what_differs_and_nothing_else(run, config, upstream, reasons) -> None:
    run.finish(plan(), {})
    assert run.state(plan(config, upstream)) == ("stale", reasons)


def test_settings_survive_json_without_looking_changed(run) -> None:
    config = {"list": ["a"], "float": 1e-3, "none": None, "nested": {"deep": {"er": [1.5]}}}
    run.finish(Plan("extract", config, {}), {})
    assert run.state(Plan("extract", config, {})) == ("done", [])


# -- parts ----------------------------------------------------------------------------------------


def test_parts_are_named_by_shard_and_fingerprint(run) -> None:
    parts = Parts(run, plan(), "rejects")
    name = f"{run}/extract/rejects/dog%2Fcat.{plan().fingerprint[:8]}.parquet"
    assert str(parts.place("dog/cat")) == name
    assert parts.done() == set()
    parts.place("dog/cat").write_table(rejects("a"))
    assert parts.done() == {"dog%2Fcat"}


def test_parts_of_a_finished_step_are_found_from_its_manifest(run) -> None:
    own = plan(CONFIG | {"only": ["b", "a"], "c": 1e-3})
    Parts(run, own, "rejects").place("s").write_table(rejects("a"))
    run.finish(own, {})
    assert Parts.of(run, run.require("extract"), "rejects").done() == {"s"}


def test_two_configurations_lie_side_by_side(run) -> None:
    one, two = plan(), plan(CONFIG | {"threshold": 0.3})
    Parts(run, one, "rejects").place("s1").write_table(rejects("a", "b"))
    Parts(run, one, "rejects").place("s2").write_table(rejects("c"))
    Parts(run, two, "rejects").place("s1").write_table(rejects("d"))
    assert Parts(run, one, "rejects").done() == {"s1", "s2"}
    assert Parts(run, one, "rejects").count(REJECTS) == 3
    assert Parts(run, two, "rejects").count(REJECTS) == 1
    (run.step("extract") / "rejects" / "notes.txt").write_bytes(b"a person's own file")
    assert Parts(run, two, "rejects").remove_others() == 2
    assert Parts(run, one, "rejects").done() == set()
    assert Parts(run, two, "rejects").done() == {"s1"}
    assert "notes.txt" in (run.step("extract") / "rejects").names()
    assert Parts(run, two, "rejects").remove_others() == 0


def test_parts_are_read_in_the_order_of_their_names(run) -> None:
    parts = Parts(run, plan(), "rejects")
    for name in ("b", "c", "a"):
        parts.place(name).write_table(rejects(name))
    read = [table["image_id"].to_pylist() for table in parts.read(REJECTS, ["image_id"])]
    assert read == [["a"], ["b"], ["c"]]


def test_a_part_that_is_another_table_is_refused(run) -> None:
    parts = Parts(run, plan(), "rejects")
    parts.place("s").write_table(rejects("a"))
    with pytest.raises(InputError, match=r"s\.\w{8}\.parquet: not a raypipe embeddings table"):
        list(parts.read(EMBEDDINGS))


def test_a_half_written_part_does_not_count(run) -> None:
    parts = Parts(run, plan(), "rejects")
    (parts.folder / f".s{parts.suffix}.12345678.tmp").write_bytes(b"half")
    assert parts.done() == set()


# -- tables of a run ------------------------------------------------------------------------------


def test_a_table_is_checked_on_both_ways(run) -> None:
    run.write(REJECTS, rejects("a"), "x", "rejects.parquet")
    assert run.read(REJECTS, "x", "rejects.parquet") == rejects("a")
    with pytest.raises(InputError, match="it lacks uri"):
        run.write(REJECTS, rejects("a").drop_columns(["uri"]), "x", "rejects.parquet")
    with pytest.raises(InputError, match="not found"):
        run.read(REJECTS, "x", "other.parquet")


# -- the chain ------------------------------------------------------------------------------------


def chain(run: Run, **threshold: float) -> None:
    """Do extract and cluster once."""
    first = run.finish(Plan("extract", threshold, {"index": "aaaa"}), {})
    run.finish(Plan("cluster", {}, {"extract": first.fingerprint}), {})


def test_a_step_whose_input_was_done_again_is_not_used(run) -> None:
    chain(run, threshold=0.2)
    assert run.require("cluster").step == "cluster"
    run.finish(Plan("extract", {"threshold": 0.3}, {"index": "aaaa"}), {})
    with pytest.raises(InputError, match="extract was done again after cluster") as caught:
        run.require("cluster")
    assert "raypipe cluster" in caught.value.remedy


def test_maps_of_another_head_are_not_used(run) -> None:
    chain(run, threshold=0.2)
    run.finish(Plan("fit", {}, {"index": "aaaa"}), {})
    with pytest.raises(InputError, match="fit was done again after extract") as caught:
        run.require("cluster")
    assert "raypipe extract" in caught.value.remedy
