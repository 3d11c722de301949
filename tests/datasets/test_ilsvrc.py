"""The ILSVRC tree, in miniature."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.config import DatasetConfig
from raypipe.datasets.base import Box
from raypipe.datasets.ilsvrc import Ilsvrc
from raypipe.errors import InputError
from raypipe.storage.location import Location

MAPPING = "n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\n"
XML = """<annotation><object><name>{}</name><bndbox><xmin>0</xmin><ymin>10</ymin>
<xmax>99</xmax><ymax>49</ymax></bndbox></object></annotation>"""


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture(params=["ILSVRC/", ""])
def root(tmp_path, request) -> Path:
    write(tmp_path / "LOC_synset_mapping.txt", MAPPING)
    base = tmp_path / request.param
    for name in ("train/n01443537/n01443537_2.JPEG", "train/n01440764/n01440764_10.JPEG",
                 "train/n01440764/n01440764_9.JPEG", "val/ILSVRC2012_val_00000001.JPEG",
                 "val/ILSVRC2012_val_00000002.JPEG", "val/notes.txt"):  # fmt: skip
        write(base / "Data" / "CLS-LOC" / name)
    write(base / "Annotations/CLS-LOC/train/n01440764/n01440764_9.xml", XML.format("n01440764"))
    return tmp_path


def annotations(root: Path) -> Path:
    base = root / "ILSVRC" if (root / "ILSVRC").exists() else root
    return base / "Annotations" / "CLS-LOC"


def opened(root: Path) -> Ilsvrc:
    return Ilsvrc(DatasetConfig(), Location.of(str(root)))


def test_train_is_labelled_by_its_folders(root) -> None:
    ten, nine, fish = opened(root).images("train")
    assert (ten.image_id, ten.classes, ten.boxes) == (
        "train/n01440764/n01440764_10", ("n01440764",), (),
    )  # fmt: skip
    assert ten.uri.endswith("Data/CLS-LOC/train/n01440764/n01440764_10.JPEG")
    assert Path(ten.uri).exists()
    assert nine.boxes == (Box("n01440764", 0, 10, 100, 50),), "from 0, the last pixel inclusive"
    assert fish.classes == ("n01443537",)


def test_val_by_xml(root) -> None:
    for number, wnid in ((1, "n01443537"), (2, "n01440764")):
        write(annotations(root) / f"val/ILSVRC2012_val_0000000{number}.xml", XML.format(wnid))
    one, two = opened(root).images("val")
    assert (one.image_id, one.classes) == ("val/ILSVRC2012_val_00000001", ("n01443537",))
    assert two.boxes == (Box("n01440764", 0, 10, 100, 50),)


def test_val_by_the_solution_file(root) -> None:
    write(
        root / "LOC_val_solution.csv",
        "ImageId,PredictionString\n"
        "ILSVRC2012_val_00000002,n01440764 0 10 99 49 n01440764 5 5 5 5 \n"
        "ILSVRC2012_val_00000001,n01443537 1 2 3 4 \n",
    )
    one, two = opened(root).images("val")
    assert one.boxes == (Box("n01443537", 1, 2, 4, 5),)
    assert two.boxes == (Box("n01440764", 0, 10, 100, 50), Box("n01440764", 5, 5, 6, 6))
    assert two.classes == ("n01440764",)


def test_xml_goes_before_the_solution_file(root) -> None:
    solution = "".join(f"ILSVRC2012_val_0000000{at},n01443537 1 2 3 4\n" for at in (1, 2))
    write(root / "LOC_val_solution.csv", f"ImageId,PredictionString\n{solution}")
    write(annotations(root) / "val/ILSVRC2012_val_00000001.xml", XML.format("n01440764"))
    one, two = opened(root).images("val")
    assert (one.classes, two.classes) == (("n01440764",), ("n01443537",))


def test_val_without_labels_is_refused(root) -> None:
    with pytest.raises(InputError, match=r"val_00000001\.JPEG: no label") as caught:
        list(opened(root).images("val"))
    assert "LOC_val_solution.csv" in caught.value.remedy


@pytest.mark.parametrize("line", ["ILSVRC2012_val_00000001,n01443537 1 2 3",
                                  "ILSVRC2012_val_00000001,n01443537 1 2 3 x",
                                  "ILSVRC2012_val_00000001"])  # fmt: skip
def test_a_damaged_solution_file_is_named(root, line) -> None:
    write(root / "LOC_val_solution.csv", f"ImageId,PredictionString\n{line}\n")
    with pytest.raises(InputError, match=r"LOC_val_solution\.csv: line 2"):
        list(opened(root).images("val"))


def test_a_short_class_list_gives_no_network_outputs(root) -> None:
    assert [(item.name, item.title, item.network_index) for item in opened(root).classes()] == [
        ("n01440764", "tench", None), ("n01443537", "goldfish", None),
    ]  # fmt: skip


def test_only_the_full_list_gives_network_outputs(root) -> None:
    wnids = [f"n{number:08d}" for number in range(1000)]
    write(root / "LOC_synset_mapping.txt", "".join(f"{wnid} thing {wnid}, x\n" for wnid in wnids))
    classes = opened(root).classes()
    assert [item.network_index for item in classes] == list(range(1000))
    assert classes[7].title == "thing n00000007"
    wnids[3], wnids[4] = wnids[4], wnids[3]
    write(root / "LOC_synset_mapping.txt", "".join(f"{wnid} thing\n" for wnid in wnids))
    assert {item.name: item.network_index for item in opened(root).classes()} == {
        f"n{number:08d}": number for number in range(1000)
    }, "outputs are in the order of the wnids, whatever the order of the lines"
    write(root / "LOC_synset_mapping.txt", "".join(f"{wnid} thing\n" for wnid in wnids[1:]))
    assert {item.network_index for item in opened(root).classes()} == {None}


def test_a_broken_class_list_is_named(root) -> None:
    write(root / "LOC_synset_mapping.txt", "n01440764 tench\nn01443537\n")
    with pytest.raises(InputError, match=r"LOC_synset_mapping\.txt: line 2"):
        opened(root).classes()


def test_without_a_class_list_the_folders_are_the_classes(root) -> None:
    (root / "LOC_synset_mapping.txt").unlink()
    assert [(item.name, item.title, item.network_index) for item in opened(root).classes()] == [
        ("n01440764", "n01440764", None), ("n01443537", "n01443537", None),
    ]  # fmt: skip


def test_another_split_or_another_tree_is_refused(root, tmp_path) -> None:
    with pytest.raises(InputError, match="no split 'test'") as caught:
        list(opened(root).images("test"))
    assert caught.value.remedy == "--split is one of train, val"
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="other: neither Data/CLS-LOC nor ILSVRC2012_img_train"):
        opened(tmp_path / "other")
