"""Lists of JSON objects in files of a bounded size."""

from __future__ import annotations

import json

from raypipe.storage.jsonlists import write_lists
from raypipe.storage.location import Location


def test_files_stay_small_and_old_ones_go(tmp_path) -> None:
    out = Location.of(str(tmp_path))
    (out / "tasks-00007.json").write_bytes(b"of an earlier export")
    (out / "tasks-mine.json").write_bytes(b"")
    items = [{"naïve": "ボ" * 20, "number": place} for place in range(5)]
    size = len(json.dumps(items[0], ensure_ascii=False).encode())
    assert write_lists(items, out, "tasks", limit=2 * size) == 3
    names = [f"tasks-0000{place}.json" for place in range(3)]
    assert out.names() == [*names, "tasks-mine.json"]
    assert [json.loads((out / name).read_bytes()) for name in names] == [
        items[:2], items[2:4], items[4:]
    ]  # fmt: skip
    assert write_lists([], out, "tasks") == 0
    assert out.names() == ["tasks-mine.json"]
