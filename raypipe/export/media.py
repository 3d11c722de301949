"""Where another tool finds the images: where they lie, or copies of them in the export."""

from __future__ import annotations

import io
from urllib.parse import unquote

from PIL import Image

from raypipe.errors import InputError
from raypipe.export.records import ExportImage
from raypipe.storage.blob import read_blob, read_order
from raypipe.storage.location import Location

FOLDER = 1000
"""Files of a folder: more are slow to list."""


def packed(uri: str) -> bool:
    """Whether an image is a part of a file, such as an archive: no other tool finds it there."""
    return read_order(uri)[0] != uri


def local_path(uri: str) -> str | None:
    """Return the absolute path of an image that is a file on disk, else None."""
    if packed(uri) or ("://" in uri and not uri.startswith("file://")):
        return None
    return Location.of(uri).path


def remote_uri(uri: str) -> str:
    """Return the URI of an image as other tools know it: an S3 key is not quoted there.

    Raypipe's own options of a store, which stand behind the `?`, are left out.
    """
    return unquote(uri.partition("?")[0]) if uri.startswith("s3://") else uri


def numbered(place: int, suffix: str) -> str:
    """Return the name of a file by its number, below a folder for every thousand."""
    return f"{place // FOLDER:06d}/{place:09d}{suffix}"


def copy(image: ExportImage, place: int, folder: Location) -> str:
    """Copy an image's bytes as they are.

    Args:
        image: The image.
        place: Its number in the export; its own name may be no name of a file.
        folder: Where to.

    Returns:
        Name of the copy below the folder.

    Raises:
        InputError: If it cannot be read or written.
    """
    content = read_blob(image.uri)
    name = numbered(place, suffix(content))
    (folder / name).write_bytes(content)
    return name


def unreachable(image: ExportImage, tool: str) -> InputError:
    """Return the error of an image that a tool cannot read where it lies."""
    return InputError(
        f"{image.uri}: {tool} cannot read image {image.image_id} there",
        "give --copy-images: the images are then copied into the export",
    )


def suffix(content: bytes) -> str:
    """Return what a file's name ends with, by its content."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            kind = str(image.format).lower()
    except (OSError, Image.DecompressionBombError):
        return ""
    return ".jpg" if kind == "jpeg" else f".{kind}"
