"""Ground truth in files beside a dataset: COCO's JSON and wsolevaluation's text files.

What a file says of images and classes that a set does not have is left out and counted.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from raypipe.columns import box_cell
from raypipe.datasets import coco_truth, wsol_truth
from raypipe.datasets.truth_rows import Annotated
from raypipe.errors import InputError
from raypipe.storage.location import Location
from raypipe.tables import TRUTH

_BATCH = 10_000  # rows at a time: a dict a row takes ten times what the table does


@dataclass(frozen=True)
class Annotations:
    """What a truth file says of a set.

    Attributes:
        table: Rows of `tables.TRUTH`, sorted by image.
        policy: What was left out: `unknown_images` and `unknown_classes` in annotations,
            `without_area` in boxes.
    """

    table: pa.Table
    policy: dict[str, int]


def read_annotations(
    path: str, image_ids: Sequence[str], classes: Sequence[tuple[str, str]]
) -> Annotations:
    """Read a truth file.

    A JSON file is COCO's, and is held in memory while it is read: about six times its size. A
    folder with `localization.txt` is wsolevaluation's.

    An image is the one of that name, else the one of that name without its extension, else the one
    whose last part without extension is the same, if that is one only. A class is known by name or
    title, in any case; wsolevaluation numbers the classes of the set from 0.

    Args:
        path: File or folder, path or URI.
        image_ids: Images of the set.
        classes: Name, and name for people, of its classes in order.

    Raises:
        InputError: If it is no such file, or a line or an annotation of it cannot be read.
    """
    place = Location.of(path)
    if place.is_dir():
        if "localization.txt" not in place.names():
            raise InputError(
                f"{path}: no truth, the folder has no localization.txt",
                "name a COCO JSON file, or a folder of wsolevaluation's metadata",
            )
        found: Iterable[Annotated] = wsol_truth.read(place, [name for name, _ in classes])
    elif place.exists():
        found = coco_truth.read(place)
    else:
        raise InputError(f"{path}: there is no such truth file", "check --truth")
    counts: Counter[str] = Counter()
    known = _Names(image_ids)
    titles = _titles(classes)
    tables = list(_tables(_rows(found, known, titles, counts)))
    table = pa.concat_tables([TRUTH.schema.empty_table(), *tables])
    if not table.num_rows:
        told = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items())
        raise InputError(
            f"{path}: none of it is about this set's images and classes ({told or 'it is empty'})",
            "its image names and class names must be the dataset's",
        )
    return Annotations(table.sort_by("image_id"), dict(counts))


def _titles(classes: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the class of each name and title in lower case; names win over titles."""
    found = {title.lower(): name for name, title in reversed(classes)}
    return found | {name.lower(): name for name, _ in classes}


def _rows(
    found: Iterable[Annotated], known: _Names, titles: dict[str, str], counts: Counter[str]
) -> Iterator[dict[str, Any]]:
    """Yield the rows of what is about the set, and count the rest."""
    for item in found:
        image_id, name = known.find(item.image), titles.get(item.name.lower())
        box = item.box
        if image_id is None:
            counts["unknown_images"] += 1
        elif name is None:
            counts["unknown_classes"] += 1
        else:
            if box is not None and (box[2] <= box[0] or box[3] <= box[1]):
                counts["without_area"] += 1
                box = None
                if item.counts is None and item.mask_uri is None:
                    continue
            corners = box_cell(box) if box else None
            width, height = item.size or (None, None)
            yield {
                "image_id": image_id, "class": name, "box": corners, "counts": item.counts,
                "mask_uri": item.mask_uri, "width": width, "height": height, "void": item.void,
            }  # fmt: skip


def _tables(rows: Iterable[dict[str, Any]]) -> Iterator[pa.Table]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield TRUTH.build(batch)
            batch = []
    yield TRUTH.build(batch)


class _Names:
    """Finds images by the names that other tools give them.

    Args:
        image_ids: Images of the set.
    """

    def __init__(self, image_ids: Sequence[str]) -> None:
        self._exact = set(image_ids)
        self._last: dict[str, str | None] | None = None

    def find(self, name: str) -> str | None:
        """Return the image of a name, or None.

        Raises:
            InputError: If its last part names several images.
        """
        stem = posixpath.splitext(name)[0]
        for candidate in (name, stem):
            if candidate in self._exact:
                return candidate
        if self._last is None:
            self._last = {}
            for image_id in self._exact:
                last = _last_part(image_id)
                self._last[last] = None if last in self._last else image_id
        last = _last_part(name)
        if last in self._last and self._last[last] is None:
            raise InputError(
                f"{name}: several images of the set are called {last}",
                "give images the set's own names, with their folders",
            )
        return self._last.get(last)


def _last_part(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0]
