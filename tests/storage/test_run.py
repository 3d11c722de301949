"""Manifests, the state of a step, and whose tables may be used."""

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
from raypipe.tables import REJECTS, SCHEMA_VERSION

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
    for _ in range(2):
        run.begin(plan())
        assert run.state(plan()) == ("partial", [])
    run.finish(plan(), {})
    assert run.state(plan()) == ("done", [])


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


# -- unfinished steps -----------------------------------------------------------------------------


def test_a_step_that_has_begun_says_what_it_is_about_to_do(run) -> None:
    assert run.begun("extract") is None
    run.begin(plan(), {"index_set": "train"})
    assert run.manifest("extract") is None
    begun = run.begun("extract")
    assert begun is not None
    assert (begun.config, begun.upstream) == (CONFIG, {"index": "aaaa"})
    assert begun.details["index_set"] == "train"
    finished = run.finish(plan(), {}, {"index_set": "train"})
    assert run.begun("extract") is None
    assert finished.fingerprint == begun.fingerprint
    assert finished.identity != begun.identity, "what is made from a part is stale afterwards"


def test_an_unfinished_step_is_used_by_those_who_ask_for_it_only(run) -> None:
    partial = Run(run.root, partial=True)
    run.begin(plan(), {"index_set": "train"})
    with pytest.raises(InputError, match="step extract is not finished") as caught:
        run.require("extract")
    assert caught.value.remedy == f"run `raypipe extract --run {run}` first"
    assert partial.require("extract").details["index_set"] == "train"
    with pytest.raises(InputError, match="step cluster has not been done"):
        partial.require("cluster")
    run.finish(plan(), {"maps": 3})
    assert partial.require("extract").counts == {"maps": 3}


def test_what_was_made_from_an_unfinished_step_is_stale_when_that_goes_on(run) -> None:
    partial = Run(run.root, partial=True)
    run.begin(plan())
    part = partial.require("extract")
    run.finish(Plan("cluster", {}, {"extract": part.identity}), {})
    assert partial.require("cluster").step == "cluster"
    run.finish(plan(), {})
    with pytest.raises(InputError, match="extract was done again after cluster"):
        partial.require("cluster")


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
    run.finish(Plan("cluster", {}, {"extract": first.identity}), {})


def test_a_step_whose_input_was_done_again_is_not_used(run) -> None:
    chain(run, threshold=0.2)
    assert run.require("cluster").step == "cluster"
    run.finish(Plan("extract", {"threshold": 0.3}, {"index": "aaaa"}), {})
    with pytest.raises(InputError, match="extract was done again after cluster") as caught:
        run.require("cluster")
    assert "raypipe cluster" in caught.value.remedy


def test_more_images_of_the_same_settings_are_another_input(run) -> None:
    """A retry of rejects changes no setting, only what there is."""
    same = Plan("extract", {}, {"index": "aaaa"})
    first = run.finish(same, {}, {"content": "2 rejects"})
    run.finish(Plan("cluster", {}, {"extract": first.identity}), {})
    assert run.require("cluster")
    again = run.finish(same, {}, {"content": "1 reject"})
    assert again.fingerprint == first.fingerprint
    assert again.identity != first.identity
    with pytest.raises(InputError, match="extract was done again after cluster"):
        run.require("cluster")


def test_maps_of_another_head_are_not_used(run) -> None:
    chain(run, threshold=0.2)
    run.finish(Plan("fit", {}, {"index": "aaaa"}), {})
    with pytest.raises(InputError, match="fit was done again after extract") as caught:
        run.require("cluster")
    assert "raypipe extract" in caught.value.remedy


def test_tables_of_an_older_version_are_stale_and_not_read(run) -> None:
    run.finish(plan(), {})
    place = run.step("extract") / "manifest.json"
    content = json.loads(place.read_text()) | {"schema_version": SCHEMA_VERSION - 1}
    place.write_bytes(json.dumps(content).encode())
    state, reasons = run.state(plan())
    assert state == "stale"
    assert reasons == [f"its tables are of version {SCHEMA_VERSION - 1}, now {SCHEMA_VERSION}"]
    with pytest.raises(InputError, match="made by an older raypipe") as caught:
        run.require("extract")
    assert caught.value.remedy == f"run `raypipe extract --run {run}`"
