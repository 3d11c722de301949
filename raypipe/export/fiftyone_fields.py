"""What FiftyOne must be told of a dataset's fields: the content of `metadata.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

VERSION = "1.0.0"
"""FiftyOne's version whose form this is; a newer FiftyOne converts it as it reads."""

_FIELDS = "fiftyone.core.fields."

Document = dict[str, Any]


def heatmap_name(rank: int) -> str:
    """Return the field of an image's heat map.

    Args:
        rank: Place of its class among those of the image by score, from 1.
    """
    return "heatmap" if rank == 1 else f"heatmap_{rank}"


def metadata(classes: Sequence[tuple[str, str]], heatmaps: int) -> Document:
    """Return the description of a dataset.

    Args:
        classes: Name of each class and its name for people.
        heatmaps: Heat maps of an image, at most.
    """
    info = {"classes": [{"name": name, "title": title or name} for name, title in classes]}
    return {
        "version": VERSION,
        "media_type": "image",
        "group_media_types": {},
        "tags": [],
        "info": info,
        "app_config": {},
        "classes": {"detections": [name for name, _ in classes]},
        "default_classes": [name for name, _ in classes],
        "mask_targets": {},
        "default_mask_targets": {},
        "skeletons": {},
        "sample_fields": _sample_fields(heatmaps),
        "frame_fields": [],
        "saved_views": [],
        "workspaces": [],
        "annotation_runs": {},
        "brain_methods": {},
        "evaluations": {},
        "runs": {},
    }


def _sample_fields(heatmaps: int) -> list[Document]:
    names = [heatmap_name(rank) for rank in range(1, heatmaps + 1)]
    return [
        _field("id", "ObjectIdField", stored="_id"),
        _field("filepath", "StringField"),
        _field("tags", "ListField", of="StringField"),
        _field("metadata", document="metadata.ImageMetadata", fields=_METADATA),
        _field("created_at", "DateTimeField", read_only=True),
        _field("last_modified_at", "DateTimeField", read_only=True),
        _field("_media_type", "StringField"),
        _field("_rand", "FloatField"),
        _field("_dataset_id", "ObjectIdField"),
        _field("image_id", "StringField"),
        _field("detections", document="labels.Detections", fields=[_DETECTIONS]),
        *(_field(name, document="labels.Heatmap", fields=_HEATMAP) for name in names),
    ]


def _field(
    name: str,
    kind: str = "EmbeddedDocumentField",
    *,
    of: str | None = None,
    document: str | None = None,
    fields: Sequence[Document] = (),
    stored: str | None = None,
    read_only: bool = False,
) -> Document:
    """Return the description of a field.

    Args:
        name: Its name.
        kind: Its type.
        of: Type of a list's elements.
        document: Class of an embedded document, or of a list's elements.
        fields: The embedded document's own fields.
        stored: Its name in the database.
        read_only: Whether people may not edit it.
    """
    return {
        "name": name,
        "ftype": _FIELDS + kind,
        "embedded_doc_type": document and f"fiftyone.core.{document}",
        "subfield": of and _FIELDS + of,
        "fields": list(fields),
        "db_field": stored or name,
        "description": None,
        "info": None,
        "read_only": read_only,
        "created_at": None,
    }


_METADATA = [
    _field("size_bytes", "IntField"),
    _field("mime_type", "StringField"),
    _field("width", "IntField"),
    _field("height", "IntField"),
    _field("num_channels", "IntField"),
]
_LABEL = [
    _field("id", "ObjectIdField", stored="_id"),
    _field("tags", "ListField", of="StringField"),
]
_DETECTION = [
    *_LABEL,
    _field("attributes", "DictField", of="EmbeddedDocumentField", document="labels.Attribute"),
    _field("label", "StringField"),
    _field("bounding_box", "ListField", of="FloatField"),
    _field("mask", "ArrayField"),
    _field("mask_path", "StringField"),
    _field("confidence", "FloatField"),
    _field("index", "IntField"),
]
_DETECTIONS = _field(
    "detections",
    "ListField",
    of="EmbeddedDocumentField",
    document="labels.Detection",
    fields=_DETECTION,
)
_HEATMAP = [
    *_LABEL,
    _field("map", "ArrayField"),
    _field("map_path", "StringField"),
    _field("range", "HeatmapRangeField", of="FloatField"),
    _field("label", "StringField"),
]
