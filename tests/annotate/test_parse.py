"""The labels CSV: what is accepted, and that every bad line is named."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe import cells
from raypipe.annotate import csvfile
from raypipe.annotate.csvfile import COLUMNS, Clusters
from raypipe.annotate.parse import parse
from raypipe.errors import LabelError

CLUSTERS = Clusters({("cat", 1): "aaaa", ("cat", 2): "cccc", ("dog", 1): "bbbb"})
HEADER = "class,cluster,verdict,membership\n"
COMPLETE = HEADER + "cat,1,object,aaaa\ncat,2,distractor,cccc\ndog,1,unsure,bbbb\n"


def verdicts(text: str, **options) -> list[tuple[str, int, str]]:
    rows = parse(text, CLUSTERS, source="labels.csv", **options).to_pylist()
    return [(row["class"], row["cluster"], row["verdict"]) for row in rows]


def refusal(text: str, **options) -> str:
    with pytest.raises(LabelError) as caught:
        parse(text, CLUSTERS, source="labels.csv", **options)
    assert caught.value.message.startswith("labels.csv: ")
    assert caught.value.remedy
    return caught.value.message


EXPECTED = [("cat", 1, "object"), ("cat", 2, "distractor"), ("dog", 1, "unsure")]


def test_template_filled_in_comes_back() -> None:
    rows = list(csv.DictReader(io.StringIO(csvfile.template(CLUSTERS))))
    assert tuple(rows[0]) == COLUMNS
    assert [row["verdict"] for row in rows] == ["", "", ""]
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS)
    writer.writeheader()
    for row, (_, _, verdict) in zip(rows, EXPECTED, strict=True):
        writer.writerow(row | {"verdict": verdict, "seconds": "2.5", "note": 'a, "b"'})
    table = parse(out.getvalue(), CLUSTERS, source="x", annotator="ann")
    assert [(r["class"], r["cluster"], r["verdict"]) for r in table.to_pylist()] == EXPECTED
    assert set(table["annotator"].to_pylist()) == {"ann"}
    assert set(table["seconds"].to_pylist()) == {2.5}
    assert set(table["note"].to_pylist()) == {'a, "b"'}
    assert table["membership"].to_pylist() == ["aaaa", "cccc", "bbbb"]


@pytest.mark.parametrize(
    "text",
    [
        COMPLETE,
        "\ufeff" + COMPLETE,
        COMPLETE.replace(",", ";"),
        COMPLETE.replace("\n", "\r\n"),
        COMPLETE.replace("object", "1").replace("distractor", "0").replace("unsure", "U"),
        COMPLETE.replace("object", " O ").replace("distractor", "d").replace("unsure", "UNSURE"),
        COMPLETE.replace("cat,1", " cat , 1 ").replace("class,", " Class ,") + "\n,,,\n",
    ],
    ids=["plain", "bom", "semicolon", "crlf", "numbers", "letters", "blanks"],
)
def test_accepted_spellings(text: str) -> None:
    assert verdicts(text) == EXPECTED


def test_decimal_comma_goes_with_semicolons() -> None:
    cells = ("seconds", "1,5", "", "2")
    lines = [
        f"{line};{cell}"
        for line, cell in zip(COMPLETE.replace(",", ";").split(), cells, strict=True)
    ]
    table = parse("\n".join(lines), CLUSTERS, source="x")
    assert table["seconds"].to_pylist() == [1.5, None, 2.0]


def test_every_bad_line_is_named_at_once() -> None:
    header = "class,cluster,verdict,seconds,membership\n"
    message = refusal(
        header + "cat,1,maybe,,aaaa\ncow,1,object,,aaaa\ncat,7,object,,eeee\n"
        "cat,2,object,soon,old\ndog,1,,,bbbb\ndog,1\ncat,1,object,nan,aaaa\n"
    )
    for text in (
        "8 problems",
        "line 2: verdict 'maybe'",
        "line 3: unknown class 'cow'",
        "line 4: class 'cat' has no cluster '7'",
        "line 5: stale: cluster 2 of 'cat' is cccc now, the line is about 'old'",
        "line 5: seconds 'soon'",
        "line 6: no verdict on cluster 1 of 'dog'",
        "line 7: not as many cells",
        "line 8: seconds 'nan'",
    ):
        assert text in message


def test_line_numbers_count_lines_of_quoted_cells() -> None:
    text = 'class,cluster,verdict,note,membership\ncat,1,o,"two\nlines",aaaa\ncat,2,bad,,cccc\n'
    assert "line 4: verdict 'bad'" in refusal(text)


def test_long_lists_of_problems_are_cut() -> None:
    message = refusal(HEADER + "cow,1,object,x\n" * 50)
    assert message.count("unknown class") == 20
    assert "and 33 more" in message  # 50 lines and 3 clusters without any, less 20


def test_contradictions_of_one_annotator_are_refused() -> None:
    message = refusal(COMPLETE + "cat,1,distractor,aaaa\n")
    assert "line 5: 'anonymous' answers distractor on cluster 1 of 'cat'" in message
    assert "object on line 2" in message


@pytest.mark.parametrize("number", ["2", "7"])
def test_number_and_membership_must_agree(number: str) -> None:
    message = refusal(COMPLETE.replace("cat,1,", f"cat,{number},"))
    assert (
        f"line 2: names cluster '{number}' of 'cat', but its membership is that of cluster 1"
        in (message)
    )


GROUPED = Clusters(
    {("*", 1): "gggg", ("cat", 1): "aaaa", ("cat", 2): "cccc", ("dog", 1): "bbbb"},
    {("cat", 1): 1, ("cat", 2): 1},
)


def test_clusters_of_a_group_are_not_asked_about() -> None:
    rows = list(csv.DictReader(io.StringIO(csvfile.template(GROUPED))))
    assert [(row["class"], row["cluster"]) for row in rows] == [("*", "1"), ("dog", "1")]
    with pytest.raises(LabelError) as caught:
        parse(HEADER + "cat,1,o,aaaa\ncat,2,,cccc\n", GROUPED, source="x")
    assert "no line about cluster 1 of '*'" in caught.value.message
    assert "no line about cluster 1 of 'dog'" in caught.value.message
    assert "'cat'" not in caught.value.message


def test_clusters_of_a_group_may_be_answered_themselves() -> None:
    text = HEADER + "dog,1,o,bbbb\ncat,2,d,cccc\n*,1,o,gggg\n"
    table = parse(text, GROUPED, source="x")
    rows = table.select(["class", "cluster", "verdict", "membership"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("*", 1, "object", "gggg"),
        ("cat", 2, "distractor", "cccc"),
        ("dog", 1, "object", "bbbb"),
    ]
    filled = parse(HEADER + "cat,2,d,cccc\n", GROUPED, source="x", missing="unsure")
    assert filled["class"].to_pylist() == ["*", "cat", "dog"]
    assert filled["verdict"].to_pylist() == ["unsure", "distractor", "unsure"]


def test_equal_duplicates_collapse() -> None:
    assert verdicts(COMPLETE + "cat,1,o,aaaa\n") == EXPECTED


def test_two_annotators_may_differ() -> None:
    lines = COMPLETE.split()
    text = "\n".join([lines[0] + ",annotator", *(line + ",ann" for line in lines[1:]),
                      "cat,1,distractor,aaaa,bob"])  # fmt: skip
    assert ("cat", 1, "distractor") in verdicts(text)
    assert len(verdicts(text)) == 4


def test_missing_clusters_are_refused_or_unsure() -> None:
    text = HEADER + "cat,1,object,aaaa\ncat,2,,cccc\n"
    message = refusal(text)
    assert "line 3: no verdict on cluster 2 of 'cat'" in message
    assert "no line about cluster 1 of 'dog'" in message
    filled = verdicts(text, missing="unsure")
    assert filled == [("cat", 1, "object"), ("cat", 2, "unsure"), ("dog", 1, "unsure")]
    kept = verdicts(text, missing="unsure", answered={("dog", 1)})
    assert kept == [("cat", 1, "object"), ("cat", 2, "unsure")]


def test_filled_answers_bear_the_name_of_the_files_annotator() -> None:
    text = "class,cluster,verdict,membership,annotator\ncat,1,object,aaaa,ann\n"
    table = parse(text, CLUSTERS, source="x", missing="unsure")
    assert table["annotator"].to_pylist() == ["ann"] * 3


def test_allow_partial_still_refuses_bad_lines() -> None:
    assert "unknown class" in refusal(HEADER + "cow,1,o,aaaa\n", missing="unsure")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "missing: class"),
        ("class,cluster,verdict\ncat,1,o\n", "missing: membership"),
        (HEADER.replace("membership", "clustering"), "unknown: 'clustering'"),
        (HEADER.replace("class,", "class,colour,"), "unknown: 'colour'"),
        (HEADER.replace("class,", "class,class,"), "twice: class"),
        (COMPLETE + "\0", "NUL"),
        (COMPLETE + 'dog,1,"o', "not CSV"),
        (COMPLETE + "dog,1,o," + "x" * 200_000, "line 5: not CSV"),
    ],
)
def test_what_is_no_labels_file(text: str, part: str) -> None:
    assert part in refusal(text)


@pytest.mark.parametrize("name", ["=1+1", "+a", "-a", "@a", "\tb", "\rb", "'a", "'=a", "1e5", "x"])
def test_spreadsheets_neither_run_nor_rewrite_cells(name: str) -> None:
    clusters = Clusters({(name, 1): "12e45678"})
    text = csvfile.template(clusters)
    cells = next(csv.DictReader(io.StringIO(text, newline="")))
    assert not cells["class"].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cells["membership"] == "'12e45678"
    filled = text.replace("1,,", "1,o,", 1).replace('"1","",', '"1","o",', 1)
    table = parse(filled, clusters, source="x")
    assert table["class"].to_pylist() == [name]


@given(st.text())
def test_protection_can_be_undone(cell: str) -> None:
    assert cells.unprotected(cells.protected(cell)) == cell


WORDS = (
    "cat",
    "dog",
    "1",
    "2",
    "o",
    "bad",
    "",
    "aaaa",
    "bbbb",
    '"',
    "\n",
    "\r",
    ";",
    "'",
    "9" * 5000,
)
CELL = st.sampled_from(WORDS) | st.text(max_size=5)
LINES = st.lists(st.lists(CELL, max_size=6).map(",".join), max_size=8).map("\n".join)


@given(
    st.text() | LINES | LINES.map(lambda text: HEADER + text),
    st.sampled_from(["refused", "unsure", "open"]),
)
def test_nothing_but_a_label_error_comes_out(text: str, missing: str) -> None:
    try:
        table = parse(text, CLUSTERS, source="x", missing=missing)
    except LabelError:
        return
    if missing == "open":
        return
    assert set(zip(*table.select(["class", "cluster"]).to_pydict().values(), strict=True)) == set(
        CLUSTERS.memberships
    )
