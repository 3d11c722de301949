"""Datasets from strangers: every layout refuses what an archive or an annotation could do."""

from __future__ import annotations

import ast
import gzip
import tarfile
from pathlib import Path

import pytest

import raypipe
from raypipe.config import DatasetConfig
from raypipe.datasets.base import open_dataset
from raypipe.errors import InputError
from raypipe.storage.location import Location
from tests.datasets.conftest import Stored, tar_of

pytestmark = pytest.mark.faults

BOMB = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;">]><annotation><object><name>&c;</name></object></annotation>'
)
OUTSIDE = (
    '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    "<annotation><object><name>&x;</name></object></annotation>"
)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


MEMBERS = {
    "up": (("../evil.{}", b"x"), "its name leads out"),
    "absolute": (("/tmp/evil.{}", b"x"), "its name leads out"),
    "link": (link("evil.{}", "/etc/passwd"), "a link to /etc/passwd"),
    "hard link": (link("evil.{}", "a.jpg", tarfile.LNKTYPE), "a link to a.jpg"),
}


@pytest.fixture(params=MEMBERS)
def evil(request):
    """Make the hostile member of an archive, with the ending that its layout looks for."""

    def member(ending: str):
        made, reason = MEMBERS[request.param]
        if isinstance(made, tarfile.TarInfo):
            return link(made.name.format(ending), made.linkname, made.type), reason
        return (made[0].format(ending), made[1]), reason

    return member


def listing(root: Path | Location, name: str, split: str) -> None:
    """List a split, and its classes."""
    config = DatasetConfig(name=name, root=str(root), split=split)
    dataset = open_dataset(config)
    dataset.classes()
    list(dataset.images(split))


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("layout", "split"),
    [("webdataset", "train"), ("class tar", "train"), ("train", "train"), ("val", "val"),
     ("boxes", "val"), ("devkit", "val")],
)  # fmt: skip
def test_an_archive_with_a_hostile_member_is_refused(tmp_path, evil, layout, split) -> None:
    root = tmp_path / "a" / "b" / "set"
    good = ("n01_1.JPEG", b"x")
    endings = {"train": "tar", "boxes": "xml", "devkit": "data/meta.mat"}
    member, reason = evil(endings.get(layout, "jpg"))
    val = ("ILSVRC2012_img_val.tar", tar_of(("ILSVRC2012_val_00000001.JPEG", b"x")))
    files = {
        "webdataset": {"0.tar": tar_of(("a.jpg", b"x"), member)},
        "class tar": {"ILSVRC2012_img_train.tar": tar_of(("n01.tar", tar_of(good, member)))},
        "train": {"ILSVRC2012_img_train.tar": tar_of(("n01.tar", tar_of(good)), member)},
        "val": {"ILSVRC2012_img_val.tar": tar_of(member, good)},
        "boxes": dict([val, ("ILSVRC2012_bbox_val_v3.tgz", gzip.compress(tar_of(member)))]),
        "devkit": dict([val, ("ILSVRC2012_devkit_t12.tar.gz", gzip.compress(tar_of(member)))]),
    }[layout]
    for name, content in files.items():
        write(root / name, content)
    if layout in {"val", "boxes"}:
        write(root / "LOC_synset_mapping.txt", b"n01 thing\n")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=f"is refused: {reason}") as caught:
        listing(root, "webdataset" if layout == "webdataset" else "ilsvrc", split)
    assert caught.value.message.startswith(f"{root}/{list(files)[-1]}")
    assert "plain files" in caught.value.remedy
    assert sorted(tmp_path.rglob("*")) == before


def test_a_hostile_shard_in_a_bucket(tmp_path, evil, stored: Stored) -> None:
    member, reason = evil("jpg")
    write(tmp_path / "set/0.tar", tar_of(("a.jpg", b"x"), member))
    with pytest.raises(InputError, match=f"is refused: {reason}") as caught:
        listing(stored(tmp_path / "set"), "webdataset", "train")
    assert "/0.tar" in caught.value.message


@pytest.mark.parametrize("content", [BOMB, OUTSIDE], ids=["bomb", "outside"])
@pytest.mark.parametrize("layout", ["voc", "ilsvrc", "boxes"])
def test_an_annotation_with_entities_is_refused(tmp_path, stored: Stored, layout, content) -> None:
    root = tmp_path / "set"
    xml = content.encode()
    if layout == "voc":
        write(root / "JPEGImages/a.jpg", b"x")
        write(root / "ImageSets/Main/val.txt", b"a\n")
        write(root / "Annotations/a.xml", xml)
    else:
        write(root / "Data/CLS-LOC/val/ILSVRC2012_val_00000001.JPEG", b"x")
        write(root / "LOC_synset_mapping.txt", b"n01 thing\n")
        if layout == "ilsvrc":
            write(root / "Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml", xml)
        else:
            packed = gzip.compress(tar_of(("val/ILSVRC2012_val_00000001.xml", xml)))
            write(root / "ILSVRC2012_bbox_val_v3.tgz", packed)
    with pytest.raises(InputError, match="not a safe XML file") as caught:
        listing(stored(root), "voc" if layout == "voc" else "ilsvrc", "val")
    assert ".xml" in caught.value.message
    assert "root:" not in caught.value.message, "of /etc/passwd"


def test_what_a_list_names_may_not_hold_credentials(tmp_path) -> None:
    path = write(tmp_path / "a.csv", b"uri,class\ns3://AKIAKEY:sec/ret@bucket/a.jpg,cat\n")
    with pytest.raises(InputError, match="holds credentials") as caught:
        listing(path, "manifest", "train")
    assert "sec" not in caught.value.message.replace("secret", "")
    assert "AKIAKEY" not in caught.value.message


def test_nothing_in_the_product_unpickles() -> None:
    for path in sorted(Path(raypipe.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {getattr(node, "module", None), *(alias.name for alias in node.names)}
                assert not names & {"pickle", "cloudpickle", "dill", "joblib", "shelve"}, path
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                said = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert said["weights_only"] == "True", path
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "np.load":
                assert not {"allow_pickle"} & {word.arg for word in node.keywords}, path
