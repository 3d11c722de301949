"""What the pipeline decides: which images are meant, what is too much, what it remembers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raypipe.errors import InputError, TooManyRejectsError
from raypipe.pipeline import Pipeline
from raypipe.resolve import resolve
from raypipe.storage.run import Plan, Run


def pipeline(tmp_path: Path, **flags: Any) -> Pipeline:
    return Pipeline(*resolve(None, {"run": str(tmp_path / "run"), **flags}))


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ({}, "val"),
        ({"split": "test"}, "test"),
        ({"root": "/data/new"}, "new"),
        ({"root": "/data/train"}, "train-images"),
        ({"name": "voc", "root": "/data/VOC2012", "split": "val"}, "VOC2012-val"),
    ],
)
def test_a_target_has_a_set_of_its_own(tmp_path, target, name) -> None:
    found = pipeline(tmp_path, dataset={"name": "imagefolder", "root": "/data/old"}, target=target)
    assert found.target_set == name


def test_a_folder_called_train_is_not_the_training_split(tmp_path) -> None:
    for folder, names in (("old", ["boat/a.jpg"]), ("new/train", ["x.jpg", "y.jpg"])):
        for name in names:
            place = tmp_path / folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(b"")
    flags = {"dataset": {"root": str(tmp_path / "old")}}
    pipeline(tmp_path, **flags).index()
    run = Run.at(str(tmp_path / "run"))
    run.finish(Plan("extract", {}, {}), {}, {"index_set": "train"})
    target = {"name": "imagefolder", "root": str(tmp_path / "new/train")}
    found = pipeline(tmp_path, **flags, target=target)
    assert found._index_target(found.target_set).counts["images"] == 2


@pytest.mark.parametrize(
    ("rejects", "share", "fine"),
    [(0, 0, True), (1, 0, False), (5, 0.05, True), (6, 0.05, False), (100, 1, True)],
)
def test_the_limit_of_rejects_holds_each_time(tmp_path, rejects, share, fine) -> None:
    found = pipeline(tmp_path, engine={"max_reject_share": share})
    plan = Plan("extract", {}, {})
    manifest = found.run.finish(plan, {"images": 100, "rejects": rejects})
    for execute in (lambda: manifest, None):  # done just now; done already
        if fine:
            assert found._do(plan, execute).counts["rejects"] == rejects
            continue
        with pytest.raises(TooManyRejectsError, match=f"{rejects} of 100 images") as caught:
            found._do(plan, execute)
        assert "extract/rejects" in caught.value.remedy


def test_damaged_settings_are_named(tmp_path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "settings.json").write_text("{")
    with pytest.raises(InputError, match=r"settings\.json: not JSON"):
        pipeline(tmp_path)


def test_a_setting_that_is_none_any_more_is_left_out_and_said(tmp_path, capsys) -> None:
    (tmp_path / "run").mkdir()
    kept = {"cluster": {"parts": 6, "budget": 4}}
    (tmp_path / "run" / "settings.json").write_text(json.dumps(kept))
    assert pipeline(tmp_path).settings.cluster.budget == 4
    assert "cluster.parts, which is no setting any more" in capsys.readouterr().err


def test_a_run_remembers_what_worked_and_flags_win(tmp_path) -> None:
    (tmp_path / "photos" / "boat").mkdir(parents=True)
    (tmp_path / "photos" / "boat" / "a.jpg").write_bytes(b"")
    pipeline(tmp_path, dataset={"root": str(tmp_path / "photos"), "limit": 3}).index()
    assert pipeline(tmp_path).settings.dataset.limit == 3
    assert pipeline(tmp_path, dataset={"limit": 4}).settings.dataset.limit == 4
    with pytest.raises(InputError):
        pipeline(tmp_path, dataset={"root": str(tmp_path / "gone")}).index()
    assert pipeline(tmp_path).settings.dataset.root == str(tmp_path / "photos")
