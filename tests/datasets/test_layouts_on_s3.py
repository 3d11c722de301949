"""Every layout, indexed and read in place: on the local disk and in a bucket, with one result."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.io import savemat

from raypipe.config import DatasetConfig
from raypipe.datasets import index
from raypipe.loading.decode import decode
from raypipe.loading.shard import ReadShard
from raypipe.storage.images import ShardReader, read_boxes, read_images, read_shards
from raypipe.storage.run import Run
from tests.datasets.conftest import tar_of
from tests.s3 import Store

SIZE, LIMIT = 16, 10_000  # of the decoded image, and of its pixels
FISH, FOX = "n01443537", "n02119789"

Labels = dict[int, tuple[str, ...]]
"""Classes by the number of the photo."""

BOX = """<object><name>{}</name><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>20</xmax><ymax>15</ymax>
</bndbox></object>"""


@dataclass(frozen=True)
class Made:
    """What a layout was filled with.

    Attributes:
        labels: Classes of every photo in it.
        config: How to open it.
        boxes: How many there are.
        root: The dataset's root, if it is a file below the folder.
    """

    labels: Labels
    config: dict[str, Any]
    boxes: int = 0
    root: str = ""


def photo(number: int) -> bytes:
    """Return a JPEG that differs from every other number's."""
    pixels = np.random.default_rng(number).integers(0, 255, (4, 5, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((60, 40)).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def write(path: Path, content: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def xml(*names: str) -> str:
    return f"<annotation>{''.join(BOX.format(name) for name in names)}</annotation>"


TRAIN: Labels = {0: (FOX,), 1: (FISH,), 2: (FISH,), 3: (FOX,), 4: (FISH,), 5: (FISH,), 6: (FISH,)}
VAL: Labels = {0: (FOX,), 1: (FISH,), 2: (FOX,)}
MAPPING = f"{FISH} goldfish, Carassius auratus\n{FOX} red fox, Vulpes vulpes\n"


def ilsvrc_tree(root: Path) -> Made:
    write(root / "LOC_synset_mapping.txt", MAPPING)
    for number, (wnid,) in TRAIN.items():
        name = f"{wnid}/{wnid}_{number}"
        write(root / f"ILSVRC/Data/CLS-LOC/train/{name}.JPEG", photo(number))
        if number % 2:
            write(root / f"ILSVRC/Annotations/CLS-LOC/train/{name}.xml", xml(wnid, wnid))
    return Made(TRAIN, {"name": "ilsvrc"}, boxes=6)


def ilsvrc_tree_val(root: Path) -> Made:
    write(root / "LOC_synset_mapping.txt", MAPPING)
    for number, (wnid,) in VAL.items():
        name = f"ILSVRC2012_val_{number + 1:08d}"
        write(root / f"Data/CLS-LOC/val/{name}.JPEG", photo(number))
        write(root / f"Annotations/CLS-LOC/val/{name}.xml", xml(wnid))
    return Made(VAL, {"name": "ilsvrc", "split": "val"}, boxes=3)


def ilsvrc_archive(root: Path) -> Made:
    tars = [
        (f"{wnid}.tar", tar_of(*((f"{wnid}_{number}.JPEG", photo(number))
                                 for number, (own,) in TRAIN.items() if own == wnid)))
        for wnid in (FOX, FISH)
    ]  # fmt: skip
    write(root / "ILSVRC2012_img_train.tar", tar_of(*tars))
    return Made(TRAIN, {"name": "ilsvrc"})


def val_archive(root: Path) -> None:
    members = [(f"ILSVRC2012_val_{number + 1:08d}.JPEG", photo(number)) for number in VAL]
    write(root / "ILSVRC2012_img_val.tar", tar_of(*members))


def ilsvrc_archive_solution(root: Path) -> Made:
    val_archive(root)
    write(root / "LOC_synset_mapping.txt", MAPPING)
    lines = [f"ILSVRC2012_val_{number + 1:08d},{wnid} 1 2 30 20 {wnid} 5 5 9 9"
             for number, (wnid,) in VAL.items()]  # fmt: skip
    write(root / "LOC_val_solution.csv", "\n".join(["ImageId,PredictionString", *lines]))
    return Made(VAL, {"name": "ilsvrc", "split": "val"}, boxes=6)


def devkit() -> bytes:
    """Return the kit's archive; its numbers are not in the order of the wnids."""
    rows = [(1, FOX, "red fox, Vulpes vulpes", 0), (2, FISH, "goldfish", 0), (3, "n00", "a", 2)]
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    stream = io.BytesIO()
    savemat(stream, {"synsets": np.array(rows, dtype=kind).reshape(-1, 1)})
    truth = "".join(f"{1 if wnid == FOX else 2}\n" for (wnid,) in VAL.values())
    return gzip.compress(tar_of(
        ("ILSVRC2012_devkit_t12/data/meta.mat", stream.getvalue()),
        ("ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", truth.encode()),
    ))  # fmt: skip


def ilsvrc_archive_devkit(root: Path) -> Made:
    val_archive(root)
    write(root / "ILSVRC2012_devkit_t12.tar.gz", devkit())
    return Made(VAL, {"name": "ilsvrc", "split": "val"})


def ilsvrc_archive_boxes(root: Path) -> Made:
    val_archive(root)
    write(root / "ILSVRC2012_devkit_t12.tar.gz", devkit())
    files = [(f"val/ILSVRC2012_val_{number + 1:08d}.xml", xml(wnid).encode())
             for number, (wnid,) in VAL.items()]  # fmt: skip
    write(root / "ILSVRC2012_bbox_val_v3.tgz", gzip.compress(tar_of(*files)))
    return Made(VAL, {"name": "ilsvrc", "split": "val"}, boxes=3)


PETS: Labels = {0: ("cat",), 1: ("dog",), 2: ("cow",), 3: ("dog",), 4: ("dog",)}
NAMES = ["cat", "cow", "dog"]


def webdataset(root: Path) -> Made:
    samples = [
        (f"{number}.{ending}", content) for number, (name,) in PETS.items()
        for ending, content in (("jpg", photo(number)),
                                ("cls", str(NAMES.index(name)).encode()),
                                ("json", b'{"caption": "a pet"}'))
    ]  # fmt: skip
    write(root / "train-000000.tar", tar_of(*samples[:9]))
    write(root / "train-000001.tar", tar_of(*samples[9:]))
    write(root / "val-000000.tar", tar_of(("v.jpg", photo(99)), ("v.cls", b"0")))
    write(root / "classes.txt", "\n".join(NAMES))
    return Made(PETS, {"name": "webdataset"})


def parquet(root: Path) -> Made:
    feature = {"_type": "ClassLabel", "names": NAMES}
    features = {"image": {"_type": "Image"}, "label": feature}
    table = pa.table({
        "image": pa.array([{"bytes": photo(number), "path": f"{number}.jpg"} for number in PETS],
                          pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "label": [NAMES.index(name) for (name,) in PETS.values()],
    })  # fmt: skip
    table = table.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    (root / "data").mkdir(parents=True)
    pq.write_table(table[:3], root / "data/train-00000-of-00002.parquet", row_group_size=2)
    pq.write_table(table[3:], root / "data/train-00001-of-00002.parquet")
    return Made(PETS, {"name": "parquet"})


def photos(root: Path) -> list[str]:
    """Write the photos below a folder whose name needs quoting; return their paths."""
    paths = [f"my photos/{number} #1 50%.jpg" for number in PETS]
    for number, path in enumerate(paths):
        write(root / path, photo(number))
    return paths


def manifest_csv(root: Path) -> Made:
    rows = zip(photos(root), PETS.values(), strict=True)
    lines = [f"../{path},{name}" for path, (name,) in rows]
    write(root / "lists/pets.csv", "\n".join(["uri,class", *lines]))
    return Made(PETS, {"name": "manifest"}, root="lists/pets.csv")


def manifest_parquet(root: Path) -> Made:
    paths = photos(root)
    pq.write_table(pa.table({"uri": paths, "class": [name for (name,) in PETS.values()]}),
                   root / "pets.parquet")  # fmt: skip
    return Made(PETS, {"name": "manifest"}, root="pets.parquet")


def voc(root: Path) -> Made:
    labels: Labels = {0: ("boat",), 1: ("boat", "train"), 2: ("train",)}
    base = root / "VOCdevkit/VOC2012"
    for number, names in labels.items():
        write(base / f"JPEGImages/2008_{number:06d}.jpg", photo(number))
        write(base / f"Annotations/2008_{number:06d}.xml", xml(*names))
    write(base / "ImageSets/Main/train.txt", "".join(f"2008_{at:06d}\n" for at in labels))
    return Made(labels, {"name": "voc"}, boxes=4)


def imagefolder(root: Path) -> Made:
    for number, (name,) in PETS.items():
        deep = "a-b" if number % 2 else "a"
        write(root / f"train/{name}/{deep}/{number}.jpg", photo(number))
    write(root / "val/cat/9.jpg", photo(99))
    return Made(PETS, {"name": "imagefolder"})


LAYOUTS: tuple[Callable[[Path], Made], ...] = (
    ilsvrc_tree, ilsvrc_tree_val, ilsvrc_archive, ilsvrc_archive_solution, ilsvrc_archive_devkit,
    ilsvrc_archive_boxes, webdataset, parquet, manifest_csv, manifest_parquet, voc, imagefolder,
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What became of a dataset."""

    images: list[tuple[str, list[str]]]
    boxes: list[dict[str, Any]]
    shards: list[int]
    classes: list[index.ClassRecord]
    pixels: dict[bytes, tuple[str, ...]]


def found(run: Run, root: str, **config: Any) -> Found:
    """Index a dataset, and read every image of every shard."""
    settings = DatasetConfig(root=root, shard_size=3, **config)
    index.execute(run, settings, index.plan(settings, "set"), ())
    reader = ReadShard(ShardReader.of(run, "set"), SIZE, LIMIT)
    shards = read_shards(run, "set").to_pylist()
    decoded = [reader.decoded(row) for row in shards]
    assert [shard.rejects for shard in decoded] == [()] * len(shards)
    rows = read_images(run, "set").to_pylist()
    return Found(
        images=[(row["image_id"], row["classes"]) for row in rows],
        boxes=read_boxes(run, "set").to_pylist(),
        shards=[row["images"] for row in shards],
        classes=index.read_classes(run, "set"),
        pixels={
            pixels.tobytes(): image.classes
            for shard in decoded
            for image, pixels in zip(shard.images, shard.pixels, strict=True)
        },
    )


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_a_bucket_is_read_as_the_disk_is(tmp_path, s3: Store, layout) -> None:
    root = tmp_path / "set"
    root.mkdir()
    made = layout(root)
    copy = s3.upload(root)
    local = found(Run.at(str(tmp_path / "run")), str(root / made.root), **made.config)
    remote = found(Run.at(s3.uri(f"{copy}-run")), s3.uri(f"{copy}/{made.root}"), **made.config)
    assert local == remote
    expected = {
        decode(photo(number), SIZE, LIMIT)[0].tobytes(): names
        for number, names in made.labels.items()
    }
    assert len(expected) == len(made.labels), "the photos differ"
    assert remote.pixels == expected
    assert len(remote.boxes) == made.boxes
    assert sum(remote.shards) == len(remote.images) == len(made.labels)
    assert len(remote.shards) > 1 or len(made.labels) <= 3
