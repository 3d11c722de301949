import base64
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from raypipe.evaluate.picks import gains, losses, picks
from raypipe.evaluate.pictures import overlay, read_photo
from raypipe.storage.blob import cell_uri
from raypipe.tables import METRICS


def rows(image_id, before, after, kind="box_iou"):
    return [
        {"image_id": image_id, "class": "boat", "rule": rule, kind: value, "fallback": False,
         "notes": []}
        for rule, value in (("plain", before), ("classify", after))
    ]  # fmt: skip


def test_the_largest_changes_are_picked_and_none_that_did_not_change():
    metrics = METRICS.build(
        [
            *rows("gained", 0.25, 0.75),
            *rows("gained most", 0.0, 1.0),
            *rows("same", 0.5, 0.5),
            *rows("lost", 0.5, 0.25, "iou"),
            *rows("unknown", None, None),
        ]
    )
    found = picks(metrics, "s", "plain", "classify")
    worst, best = losses(found, 3), gains(found, 3)
    assert [(item.image_id, item.change) for item in worst] == [("lost", -0.25)]
    assert [item.image_id for item in best] == ["gained most", "gained"]
    assert best[1].plain["box_iou"] == 0.25
    assert best[1].refined["box_iou"] == 0.75
    assert [item.image_id for item in gains(found, 1)] == ["gained most"]


def test_a_pair_with_one_side_only_is_not_picked():
    metrics = METRICS.build(rows("half", 0.0, 1.0)[1:])
    assert picks(metrics, "s", "plain", "classify") == []
    never = [row | {"notes": ["missing"]} for row in rows("never", 0.0, 0.0)]
    assert picks(METRICS.build(never), "s", "plain", "classify") == []


def test_photos_are_small_and_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.new("RGB", (1000, 500), (200, 0, 0)).save(tmp_path / "a.jpg", exif=exif)
    photo = read_photo(str(tmp_path / "a.jpg"), 500, 1000)
    assert photo.shape == (400, 200, 3)
    assert photo[0, 0, 0] > 150


def test_a_photo_that_cannot_be_read_is_grey(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8 not a photo")
    for name in ("a.jpg", "gone.jpg"):
        photo = read_photo(str(tmp_path / name), 40, 20)
        assert photo.shape == (20, 40, 3)
        assert (photo == 128).all()


def test_overlay_is_a_webp_that_is_brightest_where_the_map_is():
    source = overlay(np.full((20, 40, 3), 100, np.uint8), np.array([[0, 1]], np.float32))
    header, data = source.split(",")
    assert header == "data:image/webp;base64"
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"), np.float64)
    assert image.shape == (20, 40)
    assert image[:, :10].mean() + 40 < image[:, 30:].mean()


def test_a_photo_in_a_cell_is_shown(tmp_path) -> None:
    Image.new("RGB", (40, 20), "red").save(tmp_path / "x.png")
    cells = pa.array([{"bytes": b"no"}, {"bytes": (tmp_path / "x.png").read_bytes()}])
    pq.write_table(pa.table({"image": cells}), tmp_path / "x.parquet")
    photo = read_photo(cell_uri(str(tmp_path / "x.parquet"), 1, "image.bytes"), 40, 20)
    assert photo[10, 20].tolist() == [255, 0, 0]
