"""Maps of other methods, read and judged."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from raypipe.columns import list_column
from raypipe.errors import InputError
from raypipe.evaluate.othermaps import OtherMaps, image_size, stretched
from raypipe.evaluate.predictions import read_predictions

GRID = np.array([[-2.0, 0.0], [2.0, 6.0]])
SCALED = [[0.0, 0.25], [0.5, 1.0]]


def find(folder, image_id="val/a.JPEG", name="cat", size=(40, 20)):
    opened = OtherMaps(str(folder), 0.6).open([image_id], {}, lambda _: size)
    return opened.find(image_id, name)


@pytest.mark.parametrize(
    "path", ["cat/val/a.JPEG.npy", "val/a.JPEG.npy", "cat/val/a.npy", "val/a.npy", "cat/a.npy"]
)
def test_a_file_is_found_by_image_and_class(tmp_path, path):
    (tmp_path / path).parent.mkdir(parents=True)
    np.save(tmp_path / path, GRID)
    found = find(tmp_path)
    assert found.map.tolist() == SCALED
    assert (found.width, found.height, found.rank) == (40, 20, None)
    assert found.boxes.tolist() == [
        [14.0, 10.0, 40.0, 20.0]
    ]  # (x - 9.5) / 20 > 0.2, (y - 4.5) / 10 > 0.35 / 0.75
    assert find(tmp_path, "val/b.JPEG") is None
    assert find(tmp_path, size=None) is None  # nobody knows the image: it cannot be judged


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_grey_png_of_8_or_16_bits_is_a_map(tmp_path, kind):
    grey = ((GRID + 2) * (np.iinfo(kind).max // 8)).astype(kind)
    (tmp_path / "val").mkdir()
    Image.fromarray(grey).save(tmp_path / "val" / "a.JPEG.png")
    assert find(tmp_path).map == pytest.approx(np.array(SCALED), abs=1e-2)


def parquet(place, **columns):
    table = {
        "image_id": ["val/a.JPEG", "val/b.JPEG"], "class": ["cat", "dog"],
        "map": list_column([GRID, GRID], np.float16), "grid_width": [2, 2], "grid_height": [2, 2],
    }  # fmt: skip
    pq.write_table(pa.table(table | columns), place)


def test_parquet_by_file_or_folder_with_sizes_or_without(tmp_path):
    parquet(tmp_path / "maps.parquet", width=[400, 400], height=[200, 200])
    for place in (tmp_path, tmp_path / "maps.parquet"):
        found = find(place, size=None)
        assert (found.map.tolist(), found.width, found.height) == (SCALED, 400, 200)
        assert find(place, name="dog") is None
    opened = OtherMaps(str(tmp_path), 0.5).open(["val/b.JPEG"], {"val/b.JPEG": (9, 9)}, None)
    assert opened.classes("val/b.JPEG") == ["dog"]
    assert opened.find("val/b.JPEG", "dog").width == 9  # what is known already wins
    parquet(tmp_path / "maps.parquet")
    assert find(tmp_path).width == 40


def test_what_is_no_map_is_named(tmp_path):
    for grid, problem in (
        (np.zeros(3), "of shape \\(3,\\)"),
        (np.full((2, 2), np.nan), "no numbers"),
    ):
        np.save(tmp_path / "a.npy", grid)
        with pytest.raises(InputError, match=rf"a\.npy: .*{problem}"):
            find(tmp_path)
    (tmp_path / "a.npy").write_bytes(b"no")
    with pytest.raises(InputError, match=r"a\.npy: no map can be read from it"):
        find(tmp_path)
    (tmp_path / "a.npy").unlink()
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="a map is a grey PNG, this one is RGB"):
        find(tmp_path)
    parquet(tmp_path / "p.parquet", grid_width=[3, 3])
    with pytest.raises(InputError, match="4 scores for 2 rows of 3"):
        find(tmp_path)
    pq.write_table(pa.table({"image_id": ["a"]}), tmp_path / "p.parquet")
    with pytest.raises(InputError, match="maps in Parquet lack class, map"):
        find(tmp_path)
    with pytest.raises(InputError, match="no maps there"):
        OtherMaps(str(tmp_path / "gone"), 0.5).check()


def test_a_constant_map_is_zeros():
    assert stretched(np.full((2, 2), 7.0), "x").tolist() == [[0, 0], [0, 0]]


def test_sizes_are_those_after_rotation():
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(file, "JPEG", exif=exif)
    assert image_size(file.getvalue()) == (20, 30)
    assert image_size(b"no image") is None


def test_predictions_from_csv_and_parquet(tmp_path):
    (tmp_path / "p.csv").write_text("rank,image_id,class,score\n1,a,cat,0.9\n2,a,dog,0.1\n")
    rows = read_predictions(str(tmp_path / "p.csv"))
    assert rows.to_pylist()[1] == {"image_id": "a", "class": "dog", "rank": 2}
    pq.write_table(rows, tmp_path / "p.parquet")
    assert read_predictions(str(tmp_path / "p.parquet")).equals(rows)
    for text in ("image_id,class\na,cat\n", "image_id,class,rank\na,cat,first\n"):
        (tmp_path / "p.csv").write_text(text)
        with pytest.raises(InputError, match=r"p\.csv: no predictions can be read") as error:
            read_predictions(str(tmp_path / "p.csv"))
        assert "image_id,class,rank" in error.value.remedy
