"""Where the images are that a file names."""

from __future__ import annotations

import posixpath
from dataclasses import replace

from raypipe.storage import s3
from raypipe.storage.location import Location


def beside(file: Location, name: str) -> str:
    """Return the URI of what a file names: as it is if absolute, else against the file's folder.

    Raises:
        InputError: If it is a malformed S3 URI, or one with credentials: it would go into tables.
    """
    if name.startswith("s3://"):
        s3.parse(name)
    if "://" in name or name.startswith("/"):
        return name
    path = posixpath.normpath(posixpath.join(posixpath.dirname(file.path), name))
    return str(replace(file, path=path))
