"""Ground truth as evaluation sees it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raypipe.datasets.truth import IndexTruth
from raypipe.errors import InputError
from raypipe.storage.run import Run
from tests.indexed import write_index


def truth(folder: Path, mask: Image.Image | None = None) -> IndexTruth:
    run = Run.at(str(folder / "run"))
    if mask is not None:
        mask.save(folder / "mask.png")
    rows = [{"image_id": "a", "uri": "a", "classes": [], "ordinals": [], "shard": "s",
             "mask_uri": str(folder / "mask.png")},
            {"image_id": "b", "uri": "b", "classes": [], "ordinals": [], "shard": "s",
             "mask_uri": None}]  # fmt: skip
    classes = [{"class": name, "title": name, "images": 1, "network_index": None,
                "mask_value": value} for name, value in (("cat", 8), ("dog", None))]  # fmt: skip
    boxes = [{"image_id": "a", "class": "cat", "x0": at, "y0": 1, "x1": 3, "y1": 4,
              "difficult": False} for at in (0, 2)]  # fmt: skip
    write_index(run, "val", rows, classes, boxes)
    return IndexTruth.of(run, "val")


def test_boxes_of_a_class_in_an_image(tmp_path) -> None:
    found = truth(tmp_path)
    np.testing.assert_array_equal(found.boxes("a", "cat"), [[0, 1, 3, 4], [2, 1, 3, 4]])
    assert found.boxes("a", "dog").shape == (0, 4)
    assert found.boxes("nobody", "cat").shape == (0, 4)


@pytest.mark.parametrize("mode", ["P", "L"])
def test_a_mask_is_the_pixels_of_one_value_void_apart(tmp_path, mode) -> None:
    values = np.array([[8, 8, 0], [255, 12, 8]], np.uint8)
    image = Image.fromarray(values)
    if mode == "P":
        image.putpalette([0, 0, 0] * 256)
    found = truth(tmp_path, image).mask("a", "cat")
    assert found is not None
    np.testing.assert_array_equal(found.inside, values == 8)
    np.testing.assert_array_equal(found.valid, values != 255)


def test_no_mask_for_a_class_without_value_or_an_image_without_file(tmp_path) -> None:
    found = truth(tmp_path, Image.new("L", (2, 2)))
    assert found.mask("a", "dog") is None
    assert found.mask("b", "cat") is None
    assert found.mask("nobody", "cat") is None


def test_a_mask_of_colours_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="palette or grey PNG, this one is RGB") as caught:
        truth(tmp_path, Image.new("RGB", (2, 2))).mask("a", "cat")
    assert caught.value.remedy == "write class numbers, not colours"


def test_a_mask_that_cannot_be_read_is_named(tmp_path) -> None:
    found = truth(tmp_path)
    with pytest.raises(InputError, match=r"mask\.png"):
        found.mask("a", "cat")
    (tmp_path / "mask.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"mask\.png: the mask cannot be decoded"):
        found.mask("a", "cat")
