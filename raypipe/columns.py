"""Arrays as columns of a table, and back, without a Python object a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


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
