"""The sheet and the pages: what they hold, and that names are never markup."""

from __future__ import annotations

import re

import numpy as np
from PIL import Image

from raypipe.annotate.facts import ClassFacts, ClusterFacts
from raypipe.annotate.labels import ClassStatus
from raypipe.annotate.pages import class_page, index_page
from raypipe.annotate.sheets import contact_sheet, percent
from raypipe.annotate.spectrum import spectrum
from raypipe.annotate.tiles import Tile

EVIL = "<script>alert(1)</script>\"'"
TILE = Tile(Image.new("RGB", (48, 48), (200, 30, 30)), EVIL, borderline=True)


def facts(name: str = "cat", clusters: int = 2) -> ClassFacts:
    own = tuple(ClusterFacts(n, 10, 1 / clusters, 5, 0.5) for n in range(1, clusters + 1))
    return ClassFacts(name, name, "abcd", 5, own, (1.0, 0.9, 0.2))


def test_a_class_name_is_text() -> None:
    page = class_page(facts(EVIL), [[TILE], [TILE]], 48)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    status = ClassStatus(EVIL, 2, 0, 0, 0, 0, (1, 2))
    index = index_page([(facts(EVIL), status)], {EVIL})
    assert index.count("<script") == 1  # its own
    assert "&lt;script&gt;" in index


def test_a_page_needs_nothing_but_itself() -> None:
    page = class_page(facts(), [[TILE, TILE], [TILE]], 48)
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) == 4  # three tiles and the spectrum
    assert all(source.startswith("data:image/") for source in sources)
    assert "http" not in page


def test_a_page_says_how_to_answer() -> None:
    page = class_page(facts(), [[TILE], []], 48)
    for text in ("raypipe labels template &gt; labels.csv", "raypipe labels ingest labels.csv",
                 "<code>abcd</code>", "Cluster 2", "None of its images can be read"):  # fmt: skip
        assert text in page


def test_the_index_tells_what_is_answered_and_links_by_file_name() -> None:
    open_ = ClassStatus("a%b/c", 2, 0, 0, 0, 0, (1, 2))
    done = ClassStatus("dog", 2, 1, 1, 0, 0, ())
    page = index_page([(facts("a%b/c"), open_), (facts("dog"), done)], {"dog"})
    assert 'href="a%2525b%252Fc.html"' in page  # the file is a%25b%2Fc.html
    assert page.count("<img") == 1
    assert "not answered" in page
    assert "2 of 2 answered" in page
    assert "2 classes · 4 clusters · 2 answered" in page


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
