"""Which output of the network a class is."""

from __future__ import annotations

import pytest

from raypipe.config import LocalizerConfig
from raypipe.datasets.base import ClassRecord
from raypipe.errors import ConfigError, InputError
from raypipe.localizers.classes import network_outputs, refuse_unknown

NETWORK = ("tabby", "Golden retriever", "crane")


def outputs(classes, network=NETWORK, mapping="") -> dict[str, int]:
    return network_outputs(LocalizerConfig(mapping=str(mapping)), classes, network)


def test_names_and_titles_match_in_any_case() -> None:
    records = [ClassRecord("Tabby"), ClassRecord("n02099601", "golden Retriever"),
               ClassRecord("cow", "cow")]  # fmt: skip
    assert outputs(records) == {"Tabby": 0, "n02099601": 1}


def test_a_name_goes_before_a_title() -> None:
    assert outputs([ClassRecord("crane", "tabby")]) == {"crane": 2}


def test_the_ilsvrc_index_goes_before_names() -> None:
    """Bird and machine share the title "crane" in the challenge's list, and others do likewise."""
    cranes = (134, 517)
    names = ["crane" if at in cranes else f"thing {at}" for at in range(1000)]
    records = [ClassRecord(f"n{at}", "crane", at) for at in cranes]
    assert outputs(records, names) == {f"n{at}": at for at in cranes}


def test_the_ilsvrc_index_says_nothing_of_another_network() -> None:
    assert outputs([ClassRecord("n1", "tabby", 281), ClassRecord("n2", "cow", 345)]) == {"n1": 0}


def test_a_mapping_file_goes_before_everything(tmp_path) -> None:
    path = tmp_path / "mapping.csv"
    path.write_text("class,network_class\ntabby, CRANE \ncow,tabby\n")
    records = [ClassRecord("tabby", "", 1), ClassRecord("cow"), ClassRecord("crane")]
    assert outputs(records, mapping=path) == {"tabby": 2, "cow": 0, "crane": 2}


def test_columns_of_a_mapping_may_come_in_any_order(tmp_path) -> None:
    path = tmp_path / "mapping.csv"
    path.write_bytes(b"\xef\xbb\xbfnetwork_class,class\r\ntabby,cow\r\n")
    assert outputs([ClassRecord("cow")], mapping=path) == {"cow": 0}


@pytest.mark.parametrize(
    ("line", "message"),
    [("horse,tabby", "line 3: unknown class 'horse'"), ("cow,lion", "network class 'lion'"),
     ("cow", "network class ''")],
)  # fmt: skip
def test_a_mapping_of_the_unknown_is_refused(tmp_path, line, message) -> None:
    path = tmp_path / "mapping.csv"
    path.write_text(f"class,network_class\ncow,tabby\n{line}\n")
    with pytest.raises(ConfigError, match=message):
        outputs([ClassRecord("cow")], mapping=path)


@pytest.mark.parametrize("text", ["", "a,b\ncow,tabby\n", "cow,tabby\n", "class\ncow\n"])
def test_a_mapping_without_its_header_is_refused(tmp_path, text) -> None:
    path = tmp_path / "mapping.csv"
    path.write_text(text)
    with pytest.raises(InputError, match="its header must be class,network_class"):
        outputs([ClassRecord("cow")], mapping=path)


def test_unknown_classes_name_fit_and_mapping() -> None:
    refuse_unknown([ClassRecord("a")], ["a", "b"], "resnet18")
    with pytest.raises(ConfigError, match="^resnet18 does not know b, c$") as caught:
        refuse_unknown([ClassRecord("a"), ClassRecord("b"), ClassRecord("c")], ["a"], "resnet18")
    assert "raypipe fit" in caught.value.remedy
    assert "--mapping" in caught.value.remedy
