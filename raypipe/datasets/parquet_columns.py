"""Which columns of a Parquet file hold images and labels, and what numbered labels mean.

The Hub's `datasets` library writes the types of its columns into the schema's metadata, as JSON
under `huggingface`: {"info": {"features": {"label": {"_type": "ClassLabel", "names": […]}}}}.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from raypipe.datasets.names import ClassNames
from raypipe.errors import InputError

_IMAGES = ("image", "img", "jpg", "jpeg", "png", "webp")
_LABELS = ("label", "labels", "class", "classes", "cls")


@dataclass(frozen=True)
class Columns:
    """Columns of a file, as paths to leaves.

    Attributes:
        image: Of the encoded images, as `image.bytes`.
        path: Of their paths; empty if there is none.
        label: Of the labels; empty if there is none.
    """

    image: str
    path: str
    label: str


def find_columns(schema: pa.Schema, label: str, source: str) -> Columns:
    """Find the columns of a file.

    Args:
        schema: Its schema.
        label: The column of labels, if it was chosen.
        source: Its name, for errors.

    Raises:
        InputError: If there is no column of images, or several could hold the labels.
    """
    features = _features(schema)
    images = [name for name in schema.names if _is_image(schema.field(name), features)]
    if not images:
        raise InputError(
            f"{source}: no column of encoded images; there are {', '.join(schema.names)}",
            "store them as `image`: struct<bytes: binary, path: string>, or binary",
        )
    image = next((name for name in _IMAGES if name in images), images[0])
    kind = schema.field(image).type
    fields = [field.name for field in kind] if pa.types.is_struct(kind) else []
    return Columns(
        image=f"{image}.bytes" if fields else image,
        path=f"{image}.path" if "path" in fields else "",
        label=_label(schema, features, label, source),
    )


def class_names(schema: pa.Schema, label: str, source: str) -> ClassNames:
    """Return the names that a file gives its numbered labels; none if it does not.

    Raises:
        InputError: If a name is empty or comes twice.
    """
    names = _names(_features(schema).get(label))
    return ClassNames.of(names, f"{source}: its metadata") if names else ClassNames()


def _label(schema: pa.Schema, features: dict[str, Any], chosen: str, source: str) -> str:
    if chosen and chosen not in schema.names:
        raise InputError(
            f"{source}: no column {chosen!r}; there are {', '.join(schema.names)}",
            "mend dataset.label_column",
        )
    found = [name for name in schema.names if name in _LABELS or _names(features.get(name))]
    if not chosen and len(found) > 1:
        raise InputError(
            f"{source}: several columns could be the labels: {', '.join(found)}",
            f"choose one, as --set dataset.label_column={found[0]}",
        )
    return chosen or next(iter(found), "")


def _features(schema: pa.Schema) -> dict[str, Any]:
    """Return the Hub's types by column; none if the metadata holds none."""
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_image(field: pa.Field, features: dict[str, Any]) -> bool:
    kind = field.type
    if pa.types.is_struct(kind):
        return any(part.name == "bytes" and _is_binary(part.type) for part in kind)
    feature = features.get(field.name)
    typed = isinstance(feature, dict) and feature.get("_type") == "Image"
    return bool(_is_binary(kind) and (typed or field.name in _IMAGES))


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _names(feature: object) -> list[str]:
    """Return the names of a ClassLabel or of a list of them, else none."""
    if isinstance(feature, list):
        feature = feature[0] if feature else None
    if not isinstance(feature, dict):
        return []
    if feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list):
        return [str(name) for name in feature["names"]]
    return _names(feature.get("feature"))
