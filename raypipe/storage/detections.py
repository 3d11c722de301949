"""Reading detections: rows of their table with maps and boxes as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from raypipe.columns import box_array


def detection_rows(detections: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield rows of `detections` whose map is a (grid_height, grid_width) float32 array.

    Their boxes are an (n, 4) float64 array.
    """
    maps = detections["map"]
    for index, row in enumerate(detections.drop_columns(["map"]).to_pylist()):
        # Not through to_pylist: a Python float a cell would cost more than the metrics.
        cells = maps[index].values.to_numpy(zero_copy_only=False).astype(np.float32)
        yield row | {
            "map": cells.reshape(row["grid_height"], row["grid_width"]),
            "boxes": box_array(row["boxes"]),
        }
