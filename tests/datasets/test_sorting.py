"""Records in any order come out sorted, one an image, whatever is added how often."""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections import Counter
from dataclasses import replace

import pytest

from raypipe.datasets.base import Box, ImageRecord
from raypipe.datasets.sorting import RecordSorter
from raypipe.errors import InputError


def record(name: str, *classes: str, group: str = "", uri: str = "") -> ImageRecord:
    return ImageRecord(name, uri or f"/{name}", classes, group=group)


def listed(*records: ImageRecord) -> list[tuple[str, ImageRecord]]:
    with RecordSorter() as sorter:
        for item in records:
            sorter.add(item)
        found = list(sorter)
        assert len(sorter) == len(found)
        assert sorter.sizes == Counter(group for group, _ in found)
    return found


def test_records_come_by_group_and_then_by_name() -> None:
    expected = [
        ("", record("z")),
        ("cat", record("a", "cat", "dog")), ("cat", record("c", "cat")),
        ("dog", record("b", "dog", "cat")), ("dog", record("ä", "dog")),
        ("tar-0", record("d", "dog", group="tar-0")), ("tar-0", record("e", "cat", group="tar-0")),
    ]  # fmt: skip
    for seed in range(5):
        records = [item for _, item in expected]
        random.Random(seed).shuffle(records)
        assert listed(*records) == expected


def test_a_record_comes_back_whole() -> None:
    boxes = (Box("cat", 0.5, 1, 2, 3.25), Box("Löwe", 1, 1, 9, 9, difficult=True))
    whole = ImageRecord("ä \n'", 's3://b/"x"?a=b', ("cat", "Löwe"), boxes, "/mask.png", "g")
    assert listed(whole) == [("g", whole)]


def test_an_image_that_comes_again_adds_its_labels_and_boxes() -> None:
    one, two = Box("cat", 0, 0, 1, 1), Box("dog", 0, 0, 2, 2)
    (found,) = listed(
        replace(record("a", "cat"), boxes=(one,)),
        record("a", "dog"),
        replace(record("a", "cat", "dog"), boxes=(one, two)),
    )
    assert found == ("cat", replace(record("a", "cat", "dog"), boxes=(one, two)))


def test_an_image_that_gets_its_first_label_late_changes_its_group() -> None:
    found = listed(record("a"), record("b", "cat"), record("a", "cat"))
    assert found == [("cat", record("a", "cat")), ("cat", record("b", "cat"))]


def test_a_name_of_two_images_is_refused() -> None:
    with RecordSorter() as sorter:
        sorter.add(record("a", uri="/x"))
        with pytest.raises(InputError, match="^a: listed twice, as /x and as /y") as caught:
            sorter.add(record("a", uri="/y"))
    assert "names of their own" in caught.value.remedy


def test_nothing_is_left_on_the_disk_even_after_an_error(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with contextlib.suppress(ZeroDivisionError), RecordSorter() as sorter:
        sorter.add(record("a"))
        assert list(tmp_path.iterdir())
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
