"""Labels in bulk: files of any content, and the commands that read and write them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from raypipe.annotate import csvfile, labels
from raypipe.cli.app import app
from raypipe.errors import LabelError, UsageError
from raypipe.storage.run import Run
from raypipe.tables import LABELS
from tests.annotate.answering import KEYS, add, answer, files, sheet

PROPERTY = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def command(run: Run, *words: str, stdin: bytes | None = None) -> str:
    """Run `raypipe labels`; return what it prints on stdout."""
    result = CliRunner().invoke(app, ["labels", *words, "--run", str(run)], input=stdin)
    if result.exception is not None:
        raise result.exception
    return result.stdout


@PROPERTY
@given(st.data())
def test_a_spoilt_file_is_refused_by_its_lines_and_changes_nothing(run: Run, data) -> None:
    run.step("labels").delete()
    add(run, "o", "d", "u", "o")
    before = labels.history(run)
    lines = sheet(run, dict.fromkeys(KEYS, "d")).split(b"\n")
    spoilt = data.draw(st.integers(2, len(lines)))
    cells = lines[spoilt - 1].split(b",")
    how = data.draw(st.sampled_from(sorted(SPOILT)))
    lines[spoilt - 1] = SPOILT[how](cells)
    content = data.draw(st.sampled_from([b"\n", b"\r\n"])).join(lines)
    with pytest.raises(LabelError) as caught:
        labels.ingest(run, content, source="x.csv")
    assert f"line {spoilt}: " in caught.value.message
    assert labels.history(run) == before


SPOILT = {
    "latin-1": lambda cells: b",".join([b"caf\xe9", *cells[1:]]),
    "utf-16": lambda cells: b",".join(cells).decode().encode("utf-16-le") + b"\xff\xfe\x00",
    "nul": lambda cells: b",".join([*cells[:3], b"\0"]),
    "open quote": lambda cells: b",".join([*cells[:2], b'"o', cells[3]]),
    "text after a quote": lambda cells: b",".join([*cells[:2], b'"o"o', cells[3]]),
    "huge field": lambda cells: b",".join([*cells[:3], b"x" * (csv.field_size_limit() + 1)]),
    "large field": lambda cells: b",".join([*cells[:3], b"x" * 100_000]),
    "a cell too many": lambda cells: b",".join([*cells, b""]),
    "a cell too few": lambda cells: b",".join(cells[:3]),
    "unknown class": lambda cells: b",".join([b"cow", *cells[1:]]),
    "another cluster": lambda cells: b",".join([cells[0], b"99", *cells[2:]]),
    "a float": lambda cells: b",".join([cells[0], b"1.0", *cells[2:]]),
    "a verdict": lambda cells: b",".join([*cells[:2], b"withdrawn", cells[3]]),
    "stale": lambda cells: b",".join([*cells[:3], b"0123456789abcdef"]),
}


@pytest.mark.parametrize(
    "header",
    [b"", b"\n", b"class", b"class,cluster,verdict,membership,class", b"a,b,c,d", b"\xff\xfe",
     b"class,cluster,verdict,membership,=cmd", b"class\tcluster\tverdict\tmembership"],
)  # fmt: skip
def test_wrong_columns_are_refused_on_line_1(run: Run, header: bytes) -> None:
    lines = sheet(run, dict.fromkeys(KEYS, "d")).split(b"\n")
    with pytest.raises(LabelError, match="line 1: "):
        labels.ingest(run, b"\n".join([header, *lines[1:]]), source="x.csv")
    assert files(run) == []


NAME = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["=1+1", "'", "a\nb", "\r", '"', "1e5", "+", "-x", "@x", ";", " x", "\u00e9"]
)


@PROPERTY
@given(
    st.lists(
        st.tuples(
            st.sampled_from(KEYS), st.sampled_from(["object", "unsure"]), NAME, NAME,
            st.none() | st.floats(0, 1e6, width=32),
        ), min_size=1, max_size=12,
    )
)  # fmt: skip
def test_what_is_exported_stands_already(run: Run, given_) -> None:
    run.step("labels").delete()
    rows = [answer(run, key, verdict, f"a{who}") | {"note": note, "seconds": seconds}
            for key, verdict, who, note, seconds in given_]  # fmt: skip
    labels.append(run, LABELS.build(rows))
    text = csvfile.export(labels.answers(run))
    for row in csv.reader(io.StringIO(text, newline="")):
        assert not any(cell.startswith(FORMULAS) for cell in row)
    again = labels.ingest(run, text.encode(), source="x", answered_only=True)
    assert (again.file, again.answers) == ("", labels.answers(run).num_rows)
    expected = labels.answers(run).drop_columns(["at"])
    run.step("labels").delete()
    labels.ingest(run, text.encode(), source="x", answered_only=True)
    assert labels.answers(run).drop_columns(["at"]) == expected


@pytest.mark.parametrize("name", ["=1+1", "+a", "-a", "@a", "'a", "1e5"])
def test_class_names_and_annotators_are_exported_safely(make_world, two_clusters, name) -> None:
    run = make_world({name: two_clusters()}).run()
    labels.record(run, LABELS.build([answer(run, (name, 1), "object", name) | {"note": name}]))
    text = csvfile.export(labels.answers(run))
    cells = next(csv.DictReader(io.StringIO(text)))
    assert {cells[column] for column in ("class", "annotator", "note")} == {f"'{name}"}
    assert labels.ingest(run, text.encode(), source="x", answered_only=True).file == ""


def test_many_annotators_of_one_file(run: Run) -> None:
    memberships = labels.clusters_of(run).memberships
    lines = ["class,cluster,verdict,annotator,membership"]
    lines += [
        f"{key[0]},{key[1]},{'od'[number % 3 == 0]},p{number},{memberships[key]}"
        for number in range(300)
        for key in KEYS
    ]
    found = labels.ingest(run, "\n".join(lines).encode(), source="x")
    assert (found.answers, found.new) == (1200, 1200)
    assert set(labels.verdicts(run).values()) == {"object"}


def test_a_dry_run_says_what_would_change_and_writes_nothing(run: Run) -> None:
    add(run, "o", "d", "u", "o")
    before = files(run)
    content = sheet(run, dict(zip(KEYS, ("o", "o", "o", "o"), strict=True)))
    words = ("ingest", "-", "--annotator", "ann", "--dry-run", "--json")
    found = json.loads(command(run, *words, stdin=content))
    assert (found["file"], found["answers"], found["new"], found["changed"]) == ("", 4, 0, 2)
    found = json.loads(command(run, *words[:2], *words[4:], stdin=content))
    assert (found["new"], found["changed"]) == (4, 0)
    assert files(run) == before
    with pytest.raises(LabelError, match="line 2"):
        command(run, *words, stdin=content.replace(b"cat,1", b"cow,1"))


def test_answered_only_leaves_the_others_open(run: Run) -> None:
    content = sheet(run, dict(zip(KEYS, ("o", "", "", "d"), strict=True)))
    with pytest.raises(LabelError, match="line 3: no verdict"):
        command(run, "ingest", "-", stdin=content)
    command(run, "ingest", "-", "--answered-only", stdin=content)
    assert labels.verdicts(run) == {KEYS[0]: "object", KEYS[3]: "distractor"}
    with pytest.raises(LabelError, match="line 3: verdict 'x'"):
        command(run, "ingest", "-", "--answered-only", stdin=content.replace(b"2,,", b"2,x,", 1))
    with pytest.raises(UsageError, match="--allow-partial takes.*--answered-only leaves"):
        command(run, "ingest", "-", "--answered-only", "--allow-partial", stdin=content)


def test_the_commands_of_several_annotators(run: Run, tmp_path: Path) -> None:
    for who, verdicts in (("ann", "oouo"), ("[bob]", "oddo"), ("eve", "oudd")):
        add(run, *verdicts, who=who)
    text = command(run, "export")
    assert text.count("\n") == 13
    printed = command(run, "agreement")
    assert "ann, eve" in printed
    assert "[bob]" in printed
    found = json.loads(command(run, "agreement", "--json"))
    assert found["disputes"][0]["answers"]["unsure"] == ["eve"]
    assert len(found["pairs"]) == 3
    command(run, "merge")
    assert labels.verdicts(run)["cat", 2] == "unsure"
    with pytest.raises(UsageError, match="give one of the two|--by majority asks"):
        command(run, "merge", "--by", "majority", "--annotator", "ann")
    command(run, "undo")
    command(run, "merge", "--annotator", "[bob]", "--as", "chief")
    assert labels.verdicts(run)["cat", 2] == "distractor"
    printed = command(run, "log")
    assert "merge, taken back" in printed
    assert "undo 4" in printed
    listed = json.loads(command(run, "log", "--json"))
    assert [item["kind"] for item in listed] == ["ingest"] * 3 + ["merge", "undo", "merge"]
    assert "0 of 4" not in command(run, "status")
    exported = tmp_path / "answers.csv"
    exported.write_text(text)
    json.loads(command(run, "undo", "6", "--json"))
    assert json.loads(command(run, "ingest", str(exported), "--json"))["file"] == ""
