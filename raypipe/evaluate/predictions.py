"""What is judged: what one rule, or another method, says of a class in an image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from raypipe import rle
from raypipe.errors import InputError
from raypipe.maps import Doubles, Floats
from raypipe.storage.detections import detection_rows
from raypipe.storage.location import Location

PLAIN = "plain"
"""The rule of detections that were not refined."""

Row = dict[str, Any]
Pair = tuple[str, str]
"""Image and class."""


@dataclass(frozen=True)
class Prediction:
    """What is said of a class in an image.

    Attributes:
        width: Of the image, pixels.
        height: Likewise.
        boxes: (n, 4) float64, the one that is judged first; pixels, ends exclusive.
        map: (h, w) float32 scores, None where there is only a mask.
        mask: (height, width) bool, drawn otherwise than by a threshold on the map; or None.
        fallback: There was nothing to refine with.
        rank: Place of the class among the network's, from 1; None if it is not known.
    """

    width: int
    height: int
    boxes: Doubles
    map: Floats | None
    mask: npt.NDArray[np.bool_] | None = None
    fallback: bool = False
    rank: int | None = None


class Source(Protocol):
    """Predictions of one rule for the images of a shard."""

    @property
    def ranked(self) -> bool:
        """Whether predictions know the places of their classes."""

    @property
    def mapped(self) -> bool:
        """Whether predictions have maps and boxes, and not masks alone."""

    def find(self, image_id: str, name: str) -> Prediction | None:
        """Return what is said of a class in an image, or None if nothing is."""

    def classes(self, image_id: str) -> list[str]:
        """Return the classes that something is said of where the image has no labels."""


class _Rows(ABC):
    """Rows of one rule by image and class.

    Args:
        rows: With image_id and class at least.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self._found: dict[Pair, Row] = {}
        self._classes: dict[str, list[str]] = {}
        for row in rows:
            self._found[row["image_id"], row["class"]] = row
            self._classes.setdefault(row["image_id"], []).append(row["class"])

    def find(self, image_id: str, name: str) -> Prediction | None:
        """Return what is said of a class in an image, or None."""
        row = self._found.get((image_id, name))
        return None if row is None else self._prediction(row)

    def classes(self, image_id: str) -> list[str]:
        """Return the classes that something is said of in an image."""
        return self._classes.get(image_id, [])

    @abstractmethod
    def _prediction(self, row: Row) -> Prediction:
        """Return what a row says."""


class Detections(_Rows):
    """Detections of one rule.

    Args:
        rows: Of the `detections` table.
        rule: The rule.
    """

    ranked = mapped = True

    def __init__(self, rows: pa.Table, rule: str) -> None:
        super().__init__(detection_rows(rows.filter(pc.equal(rows["rule"], rule))))

    def _prediction(self, row: Row) -> Prediction:
        return Prediction(
            row["width"], row["height"], row["boxes"], row["map"],
            fallback=row["fallback"], rank=row["rank"],
        )  # fmt: skip


class Masks(_Rows):
    """Masks that were drawn of the detections of one rule.

    Args:
        rows: Of the `masks` table.
        rule: The rule.
    """

    ranked = mapped = False

    def __init__(self, rows: pa.Table, rule: str) -> None:
        super().__init__(rows.filter(pc.equal(rows["rule"], rule)).to_pylist())

    def _prediction(self, row: Row) -> Prediction:
        mask = rle.decode(row["counts"], row["height"], row["width"])
        return Prediction(row["width"], row["height"], np.empty((0, 4)), None, mask)


_RANKED = pa.schema([("image_id", pa.string()), ("class", pa.string()), ("rank", pa.int32())])


def read_predictions(path: str) -> pa.Table:
    """Read which classes a network predicted in images.

    Args:
        path: CSV with a header or Parquet, path or URI: image_id, class, rank; the most probable
            class has rank 1, and what is not listed was not predicted.

    Raises:
        InputError: If it cannot be read, lacks a column, or a rank is no number.
    """
    place = Location.of(path)
    try:
        if path.endswith(".parquet"):
            rows = place.read_table()
        else:
            rows = csv.read_csv(
                pa.BufferReader(place.read_bytes()),
                convert_options=csv.ConvertOptions(
                    column_types=_RANKED, include_columns=_RANKED.names
                ),
            )
        return rows.select(_RANKED.names).cast(_RANKED)
    except (pa.ArrowInvalid, pa.ArrowKeyError, KeyError) as error:
        raise InputError(
            f"{path}: no predictions can be read from it ({error})",
            "give a CSV with the header image_id,class,rank, or a Parquet file with these columns",
        ) from None


def ranks(rows: pa.Table) -> Mapping[Pair, int]:
    """Return the place of each predicted class of each image.

    Args:
        rows: Of `read_predictions`.
    """
    pairs = zip(rows["image_id"].to_pylist(), rows["class"].to_pylist(), strict=True)
    return dict(zip(pairs, rows["rank"].to_pylist(), strict=True))
