"""Where a setting comes from, what it may be, and what it changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from raypipe import config
from raypipe.config import EngineConfig, ExtractConfig, Section, Settings
from raypipe.errors import ConfigError


@pytest.fixture(autouse=True)
def no_environment(monkeypatch) -> None:
    for name in os.environ:
        if name.startswith("RAYPIPE_"):
            monkeypatch.delenv(name)


def toml(folder: Path, text: str) -> str:
    (folder / "run.toml").write_text(text)
    return str(folder / "run.toml")


def test_each_source_wins_over_the_one_before(tmp_path, monkeypatch) -> None:
    def threshold(file=None, flags=None, saved=None) -> float:
        return config.load(file, flags, saved).extract.threshold

    saved = {"extract": {"threshold": 0.3}}
    file = toml(tmp_path, "[extract]\nthreshold = 0.4\n")
    assert threshold() == ExtractConfig().threshold == 0.2
    assert threshold(saved=saved) == 0.3
    assert threshold(file, saved=saved) == 0.4
    monkeypatch.setenv("RAYPIPE_EXTRACT__THRESHOLD", "0.5")
    assert threshold(file, saved=saved) == 0.5
    assert threshold(file, {"extract": {"threshold": 0.6}}, saved) == 0.6


def test_sources_are_merged_setting_by_setting(tmp_path, monkeypatch) -> None:
    file = toml(tmp_path, '[dataset]\nname = "voc"\n[dataset.toyworld]\nsize = 96\n')
    monkeypatch.setenv("RAYPIPE_DATASET__LIMIT", "7")
    saved = {"dataset": {"root": "/data", "name": "ilsvrc", "toyworld": {"seed": 3}}}
    found = config.load(file, {"dataset": {"only": ["cat"]}}, saved).dataset
    assert (found.name, found.limit, found.root, found.only) == ("voc", 7, "/data", ("cat",))
    assert (found.toyworld.size, found.toyworld.seed) == (96, 3)
    assert found.split == "train"


def test_lists_can_stand_in_the_environment(monkeypatch) -> None:
    monkeypatch.setenv("RAYPIPE_DATASET__ONLY", '["cat", "dog"]')
    assert config.load().dataset.only == ("cat", "dog")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[extract]\nthreshhold = 0.3\n", "extract.threshhold: unknown setting"),
        ("[extrct]\nthreshold = 0.3\n", "unknown setting extrct"),
        ("[dataset.toyworld]\nseeds = 1\n", "dataset.toyworld.seeds: unknown setting"),
    ],
)
def test_an_unknown_name_in_a_file_is_refused(tmp_path, text, message) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(toml(tmp_path, text))
    assert message in caught.value.message
    assert "run.toml" in caught.value.message
    assert caught.value.remedy


def test_an_unknown_section_names_the_nearest(tmp_path) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(toml(tmp_path, "[extrct]\n"))
    assert caught.value.remedy == "did you mean extract?"


@pytest.mark.parametrize("flags", [{"extrct": {"threshold": 0.3}}, {"extract": {"thresh": 0.3}}])
def test_an_unknown_flag_is_refused(flags) -> None:
    with pytest.raises(ConfigError, match="unknown setting"):
        config.load(flags=flags)


def test_an_unknown_variable_of_a_section_is_refused(monkeypatch) -> None:
    monkeypatch.setenv("RAYPIPE_EXTRACT__THRESH", "0.5")
    with pytest.raises(ConfigError, match="extract.thresh: unknown setting"):
        config.load()


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("extract", "threshold", 1.5), ("extract", "threshold", -0.1),
        ("extract", "threshold", "x"),
        ("extract", "regions_per_class", 0), ("cluster", "neighbors", 0), ("fit", "c", 0),
        ("refine", "gamma", 0), ("refine", "rules", []), ("refine", "rules", ["plain"]),
        ("localizer", "precision", "float16"), ("dataset", "limit", -1),
        ("dataset", "shard_size", 0), ("engine", "batch_size", -1), ("engine", "cpus", -1),
        ("engine", "cpus_per_actor", 0), ("extract", "dimensions", -1),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused_by_name(section, name, value) -> None:
    with pytest.raises(ConfigError, match=rf"{section}\.{name}") as caught:
        config.load(flags={section: {name: value}})
    assert "configuration.md" in caught.value.remedy
    assert "\n" not in caught.value.message


def test_all_problems_come_in_one_go(tmp_path) -> None:
    file = toml(tmp_path, "[extract]\nthreshold = 2\nnonsense = 1\n[fit]\nc = -1\n")
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    for name in ("extract.threshold", "extract.nonsense", "fit.c"):
        assert name in caught.value.message


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), (b"[extract\n", "not a TOML file"), (b"\xff\xfe", "not a TOML")],
)
def test_a_file_that_is_no_run_file_is_named(tmp_path, content, message) -> None:
    path = tmp_path / "run.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        config.load(str(path))
    assert caught.value.message.startswith(str(path))
    assert caught.value.remedy


def test_settings_do_not_change() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.extract.threshold = 0.5  # type: ignore[misc]


def test_every_setting_is_described_and_its_default_valid() -> None:
    for name, field in Settings.model_fields.items():
        if name == "run":
            continue
        kind = field.annotation
        assert kind is not None
        assert issubclass(kind, Section), name
        assert kind.__doc__
        assert kind.model_validate(kind().model_dump()) == kind()
        for setting, own in kind.model_fields.items():
            nested = isinstance(own.annotation, type) and issubclass(own.annotation, Section)
            assert own.description or nested, f"{name}.{setting}"


def test_the_identity_is_what_json_can_hold() -> None:
    assert config.DatasetConfig(only=("b", "a")).identity()["only"] == ["b", "a"]
    assert config.RefineConfig().identity() == {
        "rules": ["classify"], "neighbors": 50, "gamma": 0.6, "unanswered": "skip",
        "floor": 0.05, "threshold": 0.2, "all_components": False,
    }  # fmt: skip


def test_how_wide_the_work_runs_is_in_no_fingerprint() -> None:
    """Everything in [engine] can be changed in the middle of a run."""
    steps = (name for name in Settings.model_fields if name not in {"run", "engine"})
    settings = {setting for name in steps for setting in getattr(Settings(), name).identity()}
    assert not settings & set(EngineConfig.model_fields)


@pytest.mark.parametrize(("name", "variable"), [("voc", "VOC"), ("my-set", "MY_SET")])
def test_the_root_of_a_dataset(monkeypatch, name, variable) -> None:
    with pytest.raises(ConfigError, match=f"dataset {name}: no root given") as caught:
        config.dataset_root(name, "")
    assert f"RAYPIPE_ROOT_{variable}" in caught.value.remedy
    monkeypatch.setenv(f"RAYPIPE_ROOT_{variable}", "/from/environment")
    assert config.dataset_root(name, "") == "/from/environment"
    assert config.dataset_root(name, "/given") == "/given"
    assert config.load().dataset.root == "", "a root for a name is no setting"
