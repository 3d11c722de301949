"""Small drawn images in a list, their extraction, and what is compared of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow.fs import FileInfo

from raypipe.storage.location import Location


def draw(root: Path, files: int, repeats: int) -> None:
    """Draw images of two classes, one of them broken, each listed so often under other names."""
    root.mkdir(exist_ok=True)
    generator = np.random.default_rng(0)
    for number in range(files):
        pixels = generator.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((80, 64)).save(root / f"{number}.png")
    (root / "7.png").write_bytes((root / "7.png").read_bytes()[:60])
    lines = ["uri,class,image_id"] + [
        f"{number}.png,{('boat', 'car')[number % 2]},{number}-{again}"
        for number in range(files)
        for again in range(repeats)
    ]
    (root / "list.csv").write_text("\n".join(lines))


@dataclass(frozen=True)
class Place:
    """Where images and runs lie, on disk or in a bucket.

    Attributes:
        root: Path or URI.
        images: The list of images.
    """

    root: str
    images: str

    def at(self, path: str) -> Location:
        return Location.of(self.root) / "run" / path

    def committed(self) -> list[FileInfo]:
        """Return the files of committed shards; what a kill left half written is none of them."""
        found = self.at("extract/maps").entries()
        return [info for info in found if info.base_name.endswith(".parquet")]

    def done(self) -> int:
        """Return how many shards are committed."""
        return len(self.committed())


def command(place: Place, weights: Path, shard: int, address: str) -> list[object]:
    return [
        "extract", "--dataset", "manifest", "--root", place.images, "--architecture", "toynet",
        "--weights", weights, "--run", Location.of(place.root) / "run",
        "--address", address, "--set", f"dataset.shard_size={shard}",
        "--set", "extract.dimensions=0",
    ]  # fmt: skip


KEYS = {
    "maps": ["image_id", "class"],
    "regions": ["image_id", "class", "background", "row", "col"],
    "rejects": ["image_id"],
}


def rows(place: Place) -> dict[str, tuple[int, str]]:
    """Return number and hash of each table's rows; fails if a row stands twice."""
    found = {}
    for kind, keys in KEYS.items():
        parts = place.at(f"extract/{kind}")
        assert not [name for name in parts.names() if not name.endswith(".parquet")], "left over"
        table = pa.concat_tables([(parts / name).read_table() for name in parts.names()])
        table = table.sort_by([(key, "ascending") for key in keys])
        own = list(zip(*(table[key].to_pylist() for key in keys), strict=True))
        assert len(set(own)) == len(own), f"a row of {kind} stands twice"
        if kind == "rejects":
            table = table.drop_columns(["uri", "detail"])  # they name the place
        digest = hashlib.sha256(repr(table.to_pylist()).encode()).hexdigest()
        found[kind] = (len(own), digest)
    return found
