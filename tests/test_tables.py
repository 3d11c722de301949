"""Schemas, their check, and columns of arrays."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from raypipe.columns import list_column, matrix
from raypipe.errors import InputError
from raypipe.storage.location import Location
from raypipe.tables import ALL, MAPS, REGIONS, REJECTS


def test_every_table_and_column_is_described() -> None:
    assert len({table.name for table in ALL}) == len(ALL)
    for table in ALL:
        assert table.row
        assert table.path.endswith(".parquet")
        for field in table.schema:
            assert field.metadata[b"doc"], f"{table.name}.{field.name}"


def test_only_columns_that_say_so_are_nullable() -> None:
    row = {"image_id": "a", "uri": "u", "reason": "empty", "detail": ""}
    assert REJECTS.check(REJECTS.build([row]), "x").num_rows == 1
    with pytest.raises(InputError):
        REJECTS.check(pa.table({name: [None] for name in row}), "x")


def test_check_puts_columns_in_order_and_drops_others() -> None:
    table = pa.table({"detail": ["d"], "more": [1], "reason": ["r"], "uri": ["u"],
                      "image_id": ["a"]})  # fmt: skip
    assert REJECTS.check(table, "x").schema == REJECTS.schema
    assert REJECTS.check(table, "x", ["uri"]).column_names == ["uri"]
    assert REJECTS.check(table, "x", ["uri"]).schema.field("uri").metadata


def test_check_names_what_is_missing() -> None:
    with pytest.raises(InputError, match="^here: not a raypipe rejects table, it lacks uri") as no:
        REJECTS.check(pa.table({"image_id": ["a"], "reason": ["r"], "detail": ["d"]}), "here")
    assert "--fresh" in no.value.remedy


@pytest.mark.parametrize("values", [pa.array(["x"]), pa.array([2**40]), pa.array([[1]])])
def test_check_names_a_column_of_another_type(values) -> None:
    table = REGIONS.schema.empty_table().drop_columns(["row"]).append_column(
        "row", pa.array([], pa.int32())
    )  # fmt: skip
    assert REGIONS.check(table, "x").num_rows == 0
    with pytest.raises(InputError, match="here: a column of the regions table") as no:
        REGIONS.check(pa.table({"row": values}), "here", ["row"])
    assert "--fresh" in no.value.remedy


def test_empty_tables_can_be_built() -> None:
    for table in ALL:
        assert table.check(table.build([]), "x").schema == table.schema


@given(
    arrays.arrays(np.float32, st.tuples(st.integers(1, 20), st.integers(0, 7)),
                  elements=st.floats(width=32, allow_nan=False)),
    st.integers(1, 5),
)  # fmt: skip
def test_arrays_become_lists_and_come_back(values, chunks) -> None:
    pieces = [list_column(list(part), np.float32) for part in np.array_split(values, chunks)]
    column = pa.chunked_array(pieces)
    assert column.to_pylist() == values.tolist()
    np.testing.assert_array_equal(matrix(column), values)
    np.testing.assert_array_equal(matrix(column.slice(1)), values[1:]
                                  if len(values) > 1 else np.empty((0, 0)))  # fmt: skip


def test_grids_of_any_shape_are_flattened_row_by_row() -> None:
    grids = [np.arange(6).reshape(2, 3), np.arange(2)[:, None], np.empty((0, 4))]
    column = list_column(grids, np.float16)
    assert column.type == pa.list_(pa.float16())
    assert column.to_pylist() == [[0, 1, 2, 3, 4, 5], [0, 1], []]
    transposed = list_column([np.arange(6).reshape(2, 3).T], np.float32)
    assert transposed.to_pylist() == [[0, 3, 1, 4, 2, 5]]
    assert list_column([], np.float32).to_pylist() == []


@pytest.mark.parametrize("lists", [[[1.0], [1.0, 2.0]], [[1.0], [1.0, 2.0, 3.0]], [[], [1.0]]])
def test_lists_of_different_lengths_are_no_matrix(lists) -> None:
    with pytest.raises(ValueError, match="different lengths"):
        matrix(pa.chunked_array([pa.array(lists, pa.list_(pa.float32()))]))


@given(arrays.arrays(np.float16, st.tuples(st.integers(1, 6), st.integers(1, 6)),
                     elements=st.floats(0, 1, width=16)))  # fmt: skip
def test_half_precision_maps_survive_parquet(tmp_path_factory, grid) -> None:
    row = {"image_id": "a", "class": "c", "width": 9, "height": 9, "grid_width": grid.shape[1],
           "grid_height": grid.shape[0], "map": grid.ravel(), "peak": 1.0, "score": 0}  # fmt: skip
    place = Location.of(str(tmp_path_factory.mktemp("maps") / "m.parquet"))
    place.write_table(MAPS.build([row]))
    table = MAPS.check(place.read_table(), "x")
    back = matrix(table["map"])
    assert back.dtype == np.float16
    np.testing.assert_array_equal(back.reshape(grid.shape), grid)
