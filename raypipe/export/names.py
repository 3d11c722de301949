"""Names of files for images: their own names may hold slashes, or differ in their folder only."""

from __future__ import annotations

import hashlib
import re

_LONGEST = 120  # characters; file systems take 255 bytes
_ODD = re.compile(r"[^A-Za-z0-9._-]+")


def stem(image_id: str) -> str:
    """Return a name that any tool takes as a file's, the same at every export, and no other's.

    What is odd becomes a dash, and a hash of the whole name tells alike ones apart; a name that is
    plain already stays as it is, without its suffix.
    """
    bare = re.sub(r"\.(jpe?g|png|bmp|webp|tiff?)$", "", image_id, flags=re.IGNORECASE)
    plain = _ODD.sub("-", bare).strip("-.") or "image"
    if plain == image_id and len(plain) <= _LONGEST:
        return plain
    return f"{plain[-_LONGEST:]}-{hashlib.sha256(image_id.encode()).hexdigest()[:8]}"
