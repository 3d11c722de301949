"""Extracted maps and regions as tables, column by column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raypipe.columns import matrix_column
from raypipe.extract.regions import RegionSample
from raypipe.localizers.shard import LocalizedImage, map_columns
from raypipe.tables import MAPS, REGIONS


def map_table(items: Sequence[LocalizedImage]) -> pa.Table:
    """Return the MAPS rows of localized images, a row an (image, class) pair."""
    columns = map_columns([(item, at) for item in items for at in range(len(item.classes))])
    columns["peak"] = [float(peak) for item in items for peak in item.peaks]
    columns["score"] = [float(score) for item in items for score in item.scores]
    return pa.table(columns, schema=MAPS.schema)


def region_table(
    found: Sequence[tuple[RegionSample, npt.NDArray[np.float16]]],
) -> pa.Table:
    """Return the REGIONS rows of samples with their features, a row a cell, in the table's order.

    Args:
        found: Samples of n cells each, with (n, k) features.
    """
    ordered = sorted(found, key=lambda pair: (pair[0].name, pair[0].background, pair[0].image_id))
    samples = [sample for sample, _ in ordered]
    features = [own for _, own in ordered] or [np.empty((0, 0), np.float16)]
    sizes = [len(sample.cells) for sample in samples]
    cells = np.concatenate([np.empty((0, 2), np.intp), *(sample.cells for sample in samples)])
    scores = np.concatenate([np.empty(0, np.float32), *(sample.scores for sample in samples)])
    columns = {
        "image_id": np.repeat(np.array([item.image_id for item in samples], dtype=object), sizes),
        "class": np.repeat(np.array([item.name for item in samples], dtype=object), sizes),
        "row": cells[:, 0].astype(np.int32),
        "col": cells[:, 1].astype(np.int32),
        "score": scores,
        "background": np.repeat(np.array([item.background for item in samples], bool), sizes),
        "feature": matrix_column(np.concatenate(features), np.float16),
    }
    return pa.table(columns, schema=REGIONS.schema)
