"""The sheet and the pages: what they hold, and that names are never markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
from markupsafe import escape
from PIL import Image

from raypipe.annotate.asking import Asking
from raypipe.annotate.facts import ClassFacts, ClusterFacts, Member
from raypipe.annotate.labels import ClassStatus
from raypipe.annotate.pages import class_page, index_page, outline_path
from raypipe.annotate.sheets import contact_sheet, percent
from raypipe.annotate.spectrum import spectrum
from raypipe.annotate.tiles import Tile

EVIL = "<script>alert(1)</script>\"'"
TILE = Tile(Image.new("RGB", (48, 48), (200, 30, 30)), ((0, 0, 48, 48),), EVIL, borderline=True)
ASKING = Asking("run1", {("dog", 1): 0.4, ("cat", 1): 0.3, ("cat", 2): 0.9, (EVIL, 1): 0.1})


def block(page: str) -> dict:
    """Return what the page gives its script."""
    (content,) = re.findall(r'<script type="application/json" id="raypipe">(.*?)</script>', page)
    return json.loads(content)


def facts(name: str = "cat", clusters: int = 2) -> ClassFacts:
    own = tuple(
        ClusterFacts(n, 10, 1 / clusters, 5, 0.5, f"abcd{n}") for n in range(1, clusters + 1)
    )
    return ClassFacts(name, name, 5, own, (1.0, 0.9, 0.2))


def groups() -> ClassFacts:
    members = (Member("boat", EVIL, 1, 30), Member("train", "train", 2, 20))
    group = ClusterFacts(1, 50, 0.5, 5, 0.5, "abcd1", members=members)
    return ClassFacts("*", "All classes", 0, (group,), ())


def state(name: str, *verdicts: str | None) -> ClassStatus:
    missing = tuple(number for number, verdict in enumerate(verdicts, 1) if verdict is None)
    counts = [verdicts.count(verdict) for verdict in ("object", "distractor", "unsure")]
    return ClassStatus(name, len(verdicts), len(verdicts), *counts, 0, 0, missing)


def test_a_class_name_is_text() -> None:
    page = class_page(facts(EVIL), [[TILE], [TILE]], 48, ASKING)
    assert page.count("<script") == 2  # the data and the page's own
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert block(page)["class"] == EVIL
    index = index_page([(facts(EVIL), state(EVIL, None, None))], {EVIL}, ASKING)
    assert index.count("<script") == 2
    assert block(index)["classes"][0]["class"] == EVIL
    assert "&lt;script&gt;" in index


def test_a_page_needs_nothing_but_itself() -> None:
    page = class_page(facts(), [[TILE, TILE], [TILE]], 48, ASKING)
    sources = re.findall(r'(?:src|<image href)="([^"]*)"', page)
    assert len(sources) == 4  # three tiles and the spectrum
    assert all(source.startswith("data:image/") for source in sources)
    assert "://" not in page


def test_a_page_says_how_to_answer() -> None:
    page = class_page(facts(), [[TILE], []], 48, ASKING)
    for text in ("raypipe labels ingest answers.csv --answered-only", "raypipe annotate",
                 ">abcd2</code>", "Cluster 2", "None of its images can be read",
                 "Is what is lit the cat itself?"):  # fmt: skip
        assert text in page


def test_the_index_tells_what_is_answered_and_links_by_file_name() -> None:
    open_, done = state("a%b/c", None, None), state("dog", "object", "distractor")
    page = index_page([(facts("a%b/c"), open_), (facts("dog"), done)], {"dog"}, ASKING)
    assert 'href="a%2525b%252Fc.html"' in page  # the file is a%25b%2Fc.html
    assert page.count("<img") == 1
    assert "not answered" in page
    assert "2 of 2 answered" in page
    assert "2 classes · 4 questions · 2 answered" in page


def test_the_page_of_groups_names_each_tiles_class() -> None:
    named = replace(TILE, caption=EVIL, borderline=False)
    page = class_page(groups(), [[named]], 48, ASKING)
    assert "Is what is lit the very object that its tile names?" in page
    assert "50 regions of 2 classes, 1 cluster" in page
    assert "from 2 classes</span>" in page
    assert '<a href="train.html#cluster-2">train 2</a>' in page
    assert f"<b>{escape(EVIL)}</b>" in page
    assert page.count("<script") == 2
    assert "<i>borderline</i></li>" not in page
    plain = contact_sheet(groups(), [[TILE]], 12, 48)
    captioned = contact_sheet(groups(), [[replace(TILE, caption="a" * 100)]], 12, 48)
    assert captioned.size == plain.size
    assert not np.array_equal(np.asarray(captioned), np.asarray(plain))


def test_a_class_in_groups_says_where_it_is_asked_about() -> None:
    item = replace(facts("boat"), clusters=(replace(facts().clusters[0], group=7),))
    page = class_page(item, [[TILE]], 48, replace(ASKING, groups={7: "eeee7"}))
    assert block(page)["questions"] == [{
        "class": "boat", "cluster": 1, "membership": "abcd1", "gain": None,
        "group": {"class": "*", "cluster": 7, "membership": "eeee7"},
    }]  # fmt: skip
    assert '<a href="%252A.html#cluster-7">cluster 7 of all classes</a>' in page
    assert "add a line of its own" in page
    assert "add a line of its own" not in class_page(facts("boat"), [[TILE], []], 48, ASKING)


def test_the_index_counts_questions_not_clusters_of_groups() -> None:
    boat = ClassStatus("boat", 2, 0, 1, 1, 0, 0, 0, ())
    page = index_page([(groups(), state("*", "object")), (facts("boat"), boat)], {"boat"}, ASKING)
    assert "1 class · 1 question · 1 answered in the run" in page
    assert "2 of 2 answered" in page
    assert ">not answered<" not in page


def test_the_sheet_grows_with_clusters_and_shows_tiles() -> None:
    one = contact_sheet(facts(clusters=1), [[TILE]], 12, 48)
    two = contact_sheet(facts("x" * 300, clusters=2), [[TILE] * 12, []], 12, 48)
    assert two.width == one.width
    assert two.height > one.height
    reds = (np.asarray(one) == (200, 30, 30)).all(axis=2).sum()
    assert 1000 < reds <= 48 * 48


def test_the_spectrum_marks_the_gap() -> None:
    marked = np.asarray(spectrum([1.0, 0.9, 0.2, 0.1], 2, (200, 100)))
    plain = np.asarray(spectrum([1.0, 0.9, 0.2, 0.1], 0, (200, 100)))
    assert marked.shape == (100, 200, 4)
    assert not np.array_equal(marked, plain)
    assert marked[0, 0, 3] == 0  # nothing behind it


def test_percent() -> None:
    assert [percent(share) for share in (0.0, 0.001, 0.014, 1.0)] == [
        "0 %",
        "< 1 %",
        "1 %",
        "100 %",
    ]


def test_pages_follow_each_other_by_the_best_question() -> None:
    assert ASKING.classes == ("cat", "dog", EVIL)
    data = [ASKING.page_data(facts(name)) for name in ("cat", "dog", EVIL)]
    assert [item["next"] for item in data] == ["dog.html", data[2]["page"], None]
    assert [question["gain"] for question in data[0]["questions"]] == [0.3, 0.9]
    items = [(facts(name), state(name, None)) for name in ("ant", EVIL, "dog", "cat")]
    assert [item.name for item, _ in ASKING.ranked(items)] == ["cat", "dog", EVIL, "ant"]
    page = index_page(items, {}, ASKING)
    assert 'id="start" href="cat.html"' in page


def test_marks_become_a_path_within_its_stroke() -> None:
    assert outline_path(((10, 20, 30, 50), (0, 0, 3, 40)), 2) == ("M12 22h16v26h-16zM2 2h0v36h0z")
