"""Arrays as columns of a table, and back, without a Python object a number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

SIDES = ("x0", "y0", "x1", "y1")
"""Fields of a box: pixels, ends exclusive."""


def box_array(boxes: Iterable[Mapping[str, float]]) -> npt.NDArray[np.float64]:
    """Return boxes, as tables hold them, as an (n, 4) float64 array."""
    found = [[box[side] for side in SIDES] for box in boxes]
    return np.array(found, dtype=np.float64).reshape(-1, 4)


def box_cell(box: Sequence[float]) -> dict[str, float]:
    """Return a box's four sides as tables hold them."""
    return dict(zip(SIDES, box, strict=True))


def list_column(arrays: Sequence[npt.NDArray[Any]], dtype: type[np.generic]) -> pa.ListArray:
    """Return one list a row from one array a row, without a Python object a number.

    Args:
        arrays: n arrays of any shape, flattened row-major.
        dtype: NumPy type of the values.
    """
    offsets = np.concatenate([[0], np.cumsum([array.size for array in arrays])])
    flat = [np.ascontiguousarray(array, dtype=dtype).ravel() for array in arrays]
    values = np.concatenate(flat) if flat else np.empty(0, dtype)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values))


def matrix_column(rows: npt.NDArray[Any], dtype: type[np.generic]) -> pa.ListArray:
    """Return one list a row of an (n, d) array."""
    offsets = np.arange(rows.shape[0] + 1, dtype=np.int32) * np.int32(rows.shape[1])
    values = np.ascontiguousarray(rows, dtype=dtype).ravel()
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


def matrix(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return a column of equally long lists as an (n, d) array; (0, 0) for no rows.

    Raises:
        ValueError: If the lists differ in length.
    """
    if len(column) == 0:
        return np.empty((0, 0), dtype=np.float32)
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(lengths) != 1:
        raise ValueError(f"lists of different lengths: {sorted(lengths, key=str)}")
    values = np.concatenate([chunk.flatten().to_numpy() for chunk in column.chunks])
    return values.reshape(len(column), lengths[0])
