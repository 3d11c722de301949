"""The tiles: which images they show, and what is lit."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from raypipe.annotate.frames import Frame, Regions
from raypipe.annotate.tiles import covering, crop_box, cut, lighted, load, tiles
from raypipe.storage.blob import range_uri

WHITE = Image.new("RGB", (80, 60), "white")
FRAME = Frame("x", 80, 60, 8, 6)


def regions(*rows: tuple[str, float]) -> Regions:
    ranked = sorted(rows, key=lambda row: -row[1])
    return Regions(
        np.array([name for name, _ in ranked], dtype=object),
        np.ones(len(ranked), dtype=np.int32),
        np.zeros((len(ranked), 2), dtype=np.int32),
        np.array([typicality for _, typicality in ranked], dtype=np.float32),
    )


def shown(own: Regions, count: int, broken: str = "") -> list[tuple[str, bool]]:
    frames = {name: Frame(name, 80, 60, 8, 6) for name in own.image_ids}
    drawn = tiles(own, frames, count, 48, lambda uri: None if uri == broken else WHITE)
    return [(item.image_id, item.borderline) for item in drawn]


def test_tiles_show_different_images_typical_first_and_borderline_last() -> None:
    own = regions(*[(f"i{place}", 1 - place / 20) for place in range(9)], ("i0", 0.99), ("i8", -1))
    assert shown(own, 6) == [(f"i{place}", False) for place in range(5)] + [("i8", True)]


def test_few_images_are_shown_once_each() -> None:
    assert shown(regions(("a", 0.9), ("b", 0.8), ("a", 0.1)), 12) == [("a", False), ("b", False)]


def test_unreadable_images_are_left_out() -> None:
    own = regions(*[(f"i{place}", 1 - place / 20) for place in range(9)])
    names = [name for name, _ in shown(own, 6, broken="i1")]
    assert names == ["i0", "i2", "i3", "i4", "i5", "i8"]
    assert shown(regions(("a", 1.0)), 6, broken="a") == []


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x89PNG\r\n\x1a\n" + b"\0" * 20])
def test_load_gives_none_for_what_it_cannot_read(tmp_path, content: bytes) -> None:
    (tmp_path / "x.png").write_bytes(content)
    assert load(str(tmp_path / "x.png")) is None
    assert load(str(tmp_path / "absent.png")) is None


def test_load_turns_images_upright(tmp_path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by a quarter
    WHITE.save(tmp_path / "x.jpg", exif=exif)
    image = load(str(tmp_path / "x.jpg"))
    assert image is not None
    assert image.size == (60, 80)


def test_cells_are_lit_and_the_rest_is_dim() -> None:
    # All of the 80 × 60 image is shown: 160 × 120 in the middle of the tile.
    cells = np.array([[0, 0], [5, 7], [3, 4]], dtype=np.int32)
    plain, marks = cut(WHITE, cells, (8, 6), 160)
    drawn = np.asarray(lighted(plain, marks))
    assert drawn.shape == (160, 160, 3)
    assert drawn[20 + 70, 90].tolist() == [255, 255, 255]  # centre of row 3, column 4
    assert drawn[20 + 110, 150].tolist() == [255, 255, 255]
    assert drawn[20 + 30, 90].max() < 160
    assert drawn[5, 80].max() < 40  # beside the image
    assert np.asarray(plain)[20:140].min() == 255  # nothing is drawn on it


def test_marks_of_a_row_are_one_and_stay_inside() -> None:
    centres = np.array([[5.0, 5.0], [15.0, 5.0], [45.0, 5.0], [5.0, 25.0]])
    marks = covering(centres, (7.5, 7.5), (0, 0, 50, 40))
    assert marks == ((0, 0, 22, 12), (38, 0, 50, 12), (0, 18, 12, 32))


def test_one_cell_gets_context_and_stays_inside() -> None:
    cell = (10.0, 10.0)
    x0, y0, x1, y1 = crop_box(np.array([[395.0, 5.0]]), cell, (400, 300))
    assert (x1, y0) == (400, 0)
    assert x1 - x0 == y1 - y0 >= 150


def test_spread_cells_are_all_in_the_crop() -> None:
    centres = np.array([[5.0, 5.0], [395.0, 295.0]])
    assert crop_box(centres, (10.0, 10.0), (400, 300)) == (0, 0, 400, 300)


def test_an_image_in_an_archive_is_shown(tmp_path) -> None:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "x.png")
    content = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.tar").write_bytes(b"before" + content + b"after")
    image = load(range_uri(str(tmp_path / "x.tar"), 6, len(content)))
    assert image is not None
    assert (image.size, image.getpixel((0, 0))) == ((8, 6), (255, 0, 0))
