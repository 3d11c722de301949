"""The sheets step on a local Ray cluster."""

from __future__ import annotations

from PIL import Image

from raypipe.annotate import flow, labels
from raypipe.config import EngineConfig, Settings
from raypipe.engine import connected

EVIL = "<script>alert(1)</script>"


def test_sheets_of_every_class(make_world, two_clusters) -> None:
    world = make_world({"cat": two_clusters(5), EVIL: two_clusters()}, broken={"image1"})
    run, settings = world.run(), Settings()
    assert run.state(flow.plan(run, settings))[0] == "missing"
    with connected(EngineConfig(address="local", cpus=1)) as engine:
        manifest = flow.execute(run, settings, engine)
        assert manifest.counts == {"classes": 2, "clusters": 4, "tiles": 2 * 4 + 2 * 2}
        assert run.state(flow.plan(run, settings))[0] == "done"
        slugged = "%3Cscript%3Ealert%281%29%3C%2Fscript%3E".replace("%28", "(").replace("%29", ")")
        files = {f"{name}.{kind}" for name in ("cat", slugged) for kind in ("html", "png", "webp")}
        folder = run.step("sheets")
        assert set(folder.names()) == files | {"index.html", "manifest.json"}
        Image.open(f"{folder}/cat.png").verify()
        assert EVIL not in (folder / f"{slugged}.html").read_text()

        first = {name: (folder / name).read_bytes() for name in files}
        (folder / "gone.html").write_bytes(b"a class of an earlier clustering")
        flow.execute(run, settings, engine)
        assert {name: (folder / name).read_bytes() for name in files} == first
        assert "gone.html" not in folder.names()

    labels.ingest(
        run, labels.template(run).replace("1,,", "1,o,").replace("2,,", "2,d,").encode(), source="x"
    )
    flow.write_index(run)
    assert "4 questions · 4 answered" in (folder / "index.html").read_text()


def test_sheets_of_groups(shared) -> None:
    shared.titles = {"cat": "house cat"}
    run, settings = shared.run(), Settings(sheets={"tiles": 2})
    with connected(EngineConfig(address="local", cpus=1)) as engine:
        manifest = flow.execute(run, settings, engine)
    assert manifest.counts == {"classes": 3, "clusters": 6, "tiles": 8 * 2}
    folder = run.step("sheets")
    Image.open(f"{folder}/%2A.png").verify()
    page = (folder / "%2A.html").read_text()
    assert page.count("<b>house cat</b>") == 2
    assert page.count("<b>cow</b>") == 2  # each of the same size: by name
    assert "from 3 classes" in page
    assert 'href="%252A.html#cluster-2"' in (folder / "cat.html").read_text()
    index = (folder / "index.html").read_text()
    assert "3 classes · 2 questions · 0 answered" in index
    assert index.index("%252A.html") < index.index("cat.html")
