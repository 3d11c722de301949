"""The regions of one class, gathered from the files of its shards."""

from __future__ import annotations

import numpy as np
import pytest

from raypipe.errors import InputError
from raypipe.storage.parts import Parts
from raypipe.storage.regions import read_regions, region_files
from raypipe.storage.run import Plan, Run
from raypipe.tables import MAPS, REGIONS


def region(name: str, image: str, row: int, col: int, feature, *, background=False):
    return {"image_id": image, "class": name, "row": row, "col": col, "score": 0.5,
            "background": background, "feature": feature}  # fmt: skip


@pytest.fixture
def run(tmp_path) -> Run:
    run = Run.at(str(tmp_path / "run"))
    plan = Plan("extract", {}, {})
    parts, maps = Parts(run, plan, "regions"), Parts(run, plan, "maps")
    shards = {
        "s1": [region("cat", "b", 1, 0, [1.0, 0.0]), region("cat", "b", 0, 9, [0.0, 1.0]),
               region("dog", "b", 0, 0, [0.5, 0.5])],
        "s2": [region("cat", "a", 3, 3, [0.25, 0.75]),
               region("cat", "a", 4, 4, [0.125, 0.0], background=True)],
        "s3": [],
    }  # fmt: skip
    for name, rows in shards.items():
        parts.place(name).write_table(REGIONS.build(rows))
        maps.place(name).write_table(MAPS.build([]))
    run.finish(plan, {})
    return run


def test_only_the_files_with_a_class_are_listed(run) -> None:
    names = {name: [place.name.split(".")[0] for place in files.places]
             for name, files in region_files(run).items()}  # fmt: skip
    assert names == {"cat": ["s1", "s2"], "dog": ["s1"]}


def test_a_shard_that_is_not_committed_does_not_count(run) -> None:
    """Maps are written last: regions alone are a killed shard's, and come again."""
    Parts.of(run, run.require("extract"), "maps").place("s2").delete()
    assert [len(files.places) for files in region_files(run).values()] == [1, 1]


def test_regions_come_sorted_whatever_the_shards(run) -> None:
    files = region_files(run)["cat"].places
    found = read_regions(files[::-1], "cat", background=False)
    assert found.keys == [("a", 3, 3), ("b", 0, 9), ("b", 1, 0)]
    np.testing.assert_array_equal(found.features, [[0.25, 0.75], [0, 1], [1, 0]])
    assert found.features.dtype == np.float32


def test_the_bank_is_read_apart(run) -> None:
    files = region_files(run)
    assert read_regions(files["cat"].places, "cat", background=True).keys == [("a", 4, 4)]
    empty = read_regions(files["dog"].places, "dog", background=True)
    assert empty.keys == []
    assert len(empty.features) == 0
    assert read_regions([], "cow", background=False).keys == []


def test_an_unfinished_extract_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="extract has not been done"):
        region_files(Run.at(str(tmp_path)))
