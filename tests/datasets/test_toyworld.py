"""The toy world: drawn the same every time, a consistent VOC tree, never drawn over another."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import fs

from raypipe.config import DatasetConfig, ToyWorldConfig
from raypipe.datasets.base import ImageRecord
from raypipe.datasets.scenes import KINDS, draw
from raypipe.datasets.toyworld import ToyWorld
from raypipe.errors import ConfigError, InputError
from raypipe.storage.location import Location

SETTINGS = ToyWorldConfig(images_per_class=3, size=96, seed=7)


def world(root: Path, settings: ToyWorldConfig = SETTINGS) -> ToyWorld:
    return ToyWorld(DatasetConfig(name="toyworld", toyworld=settings), Location.of(str(root)))


def contents(root: Path) -> dict[str, bytes]:
    return {str(file.relative_to(root)): file.read_bytes()
            for file in sorted(root.rglob("*")) if file.is_file()}  # fmt: skip


def mask_of(record: ImageRecord) -> np.ndarray:
    assert record.mask_uri is not None
    with Image.open(record.mask_uri) as image:
        assert image.mode == "P"
        return np.asarray(image)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toyworld")
    world(root)
    return root


def test_equal_settings_give_equal_bytes_and_another_seed_gives_others(
    drawn: Path, tmp_path: Path
) -> None:
    world(tmp_path / "again")
    world(tmp_path / "other", SETTINGS.model_copy(update={"seed": 8}))
    first, again, other = (
        contents(root) for root in (drawn, tmp_path / "again", tmp_path / "other")
    )
    assert first == again
    photos = [name for name in first if name.endswith(".jpg")]
    assert photos
    assert all(first[name] != other[name] for name in photos)
    assert len({first[name] for name in photos}) == len(photos)


def test_more_images_leave_the_first_ones_as_they_are(drawn: Path, tmp_path: Path) -> None:
    world(tmp_path, SETTINGS.model_copy(update={"images_per_class": 4}))
    few, many = contents(drawn), contents(tmp_path)
    assert all(many[name] == few[name] for name in few if name.endswith((".jpg", ".png", ".xml")))


def test_every_split_holds_every_class_equally_often(drawn: Path) -> None:
    dataset = world(drawn)
    names = [item.name for item in dataset.classes()]
    assert names == [kind.name for kind in KINDS]
    for split in ("train", "val"):
        assert [record.classes for record in dataset.images(split)] == [
            (name,) for name in names for _ in range(SETTINGS.images_per_class)
        ]
    train, val = ({record.image_id for record in dataset.images(s)} for s in ("train", "val"))
    assert not train & val


def test_box_and_mask_are_the_object_exactly(drawn: Path) -> None:
    dataset = world(drawn)
    values = {item.name: item.mask_value for item in dataset.classes()}
    for split in ("train", "val"):
        for record in dataset.images(split):
            mask = mask_of(record)
            assert mask.shape == (SETTINGS.size, SETTINGS.size)
            (box,) = record.boxes
            assert set(np.unique(mask)) == {0, values[box.name]}
            rows, cols = np.nonzero(mask)
            assert (box.x0, box.y0, box.x1, box.y1) == (
                cols.min(), rows.min(), cols.max() + 1, rows.max() + 1,
            )  # fmt: skip
            # A whole object: none is cut off by the picture's edge.
            assert min(box.x0, box.y0) >= 1
            assert max(box.x1, box.y1) <= SETTINGS.size - 1


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_companion_is_in_the_picture_but_not_in_the_mask(kind) -> None:
    nothing = dataclasses.replace(kind, paint=lambda *_: None, paint_companion=lambda *_: None)
    alone = dataclasses.replace(kind, paint=lambda *_: None)
    for number in range(5):
        # The grain is drawn last, so it differs; the things do not.
        ground, companion = (
            draw(item, 96, np.random.default_rng(number)) for item in (nothing, alone)
        )
        change = np.abs(companion.pixels.astype(int) - ground.pixels).max(axis=2) > 50
        assert change.mean() > 0.03
        assert not companion.inside.any()
        whole = draw(kind, 96, np.random.default_rng(number))
        assert 0.05 < whole.inside.mean() < 0.25


def test_companions_touch_some_objects_and_lie_apart_from_others() -> None:
    for kind in KINDS:
        nothing = dataclasses.replace(kind, paint=lambda *_: None, paint_companion=lambda *_: None)
        alone = dataclasses.replace(kind, paint=lambda *_: None)
        covered = []
        for number in range(24):
            bare, companion, whole = (
                draw(item, 96, np.random.default_rng(number)) for item in (nothing, alone, kind)
            )
            there = np.abs(companion.pixels.astype(int) - bare.pixels).max(axis=2) > 50
            covered.append(there[whole.inside].mean())
        assert max(covered) > 0.08, kind.name
        assert min(covered) < 0.02, kind.name


def test_reopening_reads_and_does_not_draw(drawn: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in drawn.rglob("*")}
    records = list(world(drawn).images("val"))
    assert len(records) == SETTINGS.images_per_class * len(KINDS)
    assert {file: file.stat().st_mtime_ns for file in drawn.rglob("*")} == before


@pytest.mark.parametrize("change", [{"seed": 8}, {"size": 64}, {"images_per_class": 2}])
def test_other_settings_are_refused_and_nothing_is_touched(drawn: Path, change) -> None:
    before = contents(drawn)
    with pytest.raises(ConfigError, match="other settings") as caught:
        world(drawn, SETTINGS.model_copy(update=change))
    assert str(drawn) in caught.value.message
    assert "--root" in caught.value.remedy
    assert contents(drawn) == before


@pytest.mark.faults
def test_an_unfinished_drawing_is_finished(drawn: Path, tmp_path: Path, monkeypatch) -> None:
    saved = Image.Image.save
    count = 0

    def fail_after_some(self, *args, **kwargs):
        nonlocal count
        count += 1
        if count > 7:
            raise OSError(28, "No space left on device")
        return saved(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Image.Image, "save", fail_after_some)
        with pytest.raises(InputError, match="No space left"):
            world(tmp_path)
    assert contents(tmp_path) != contents(drawn)
    world(tmp_path)
    assert contents(tmp_path) == contents(drawn)


def test_a_folder_with_anything_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ConfigError, match="not empty"):
        world(tmp_path)
    assert contents(tmp_path) == {"thesis.tex": b"x"}


def test_a_record_that_is_not_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "toyworld.json").write_text("{")
    with pytest.raises(ConfigError, match="not JSON"):
        world(tmp_path)


def test_a_remote_root_is_refused() -> None:
    # A file system that is not the local disk; nothing is read from it or written to it.
    remote = Location(fs.SubTreeFileSystem("/bucket", fs.LocalFileSystem()), "toy", "s3")
    with pytest.raises(ConfigError, match="local folder"):
        ToyWorld(DatasetConfig(name="toyworld"), remote)


def test_an_unknown_split_is_refused(drawn: Path) -> None:
    with pytest.raises(InputError, match="test"):
        list(world(drawn).images("test"))
