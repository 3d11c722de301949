"""The step on a small run, through Ray."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from raypipe.cluster import flow
from raypipe.cluster.affinity import centred
from raypipe.columns import matrix
from raypipe.config import EngineConfig, Settings
from raypipe.engine import Engine, connected
from raypipe.errors import ConfigError, InputError
from raypipe.localizers.projection import projection_table, random_directions
from raypipe.storage.clusters import PARTS, assignments, centre, class_part, references
from raypipe.storage.location import Location
from raypipe.storage.parts import Parts
from raypipe.storage.regions import read_regions
from raypipe.storage.run import Manifest, Plan, Run
from raypipe.tables import (
    ASSIGNMENTS,
    CLUSTERS,
    MAPS,
    PROJECTION,
    REFERENCES,
    REGIONS,
    SHARED,
    SPECTRA,
)

DIMENSIONS = 16
KINDS = {"cat": (60, 40), "cow": (70,), "dog": (50, 45, 30)}
"""Regions of each kind, by class; each class lies in a file of its own."""

BANK = 12

EXTRACT = Plan("extract", {}, {})


def write_regions(run: Run, name: str) -> Location:
    """Write the regions of a class, its kinds in turn, and its background bank."""
    generator = np.random.default_rng(sum(map(ord, name)))
    kinds = np.repeat(np.arange(len(KINDS[name]) + 1), [*KINDS[name], BANK])
    centres = np.linalg.qr(generator.normal(size=(DIMENSIONS, DIMENSIONS)))[0]
    features = centres[kinds] + 0.1 * generator.normal(size=(len(kinds), DIMENSIONS))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    bank = len(KINDS[name])
    rows = [
        {"image_id": f"{name}-{at // 8:02}", "class": name, "row": at % 8, "col": kind,
         "score": 0.5, "background": kind == bank, "feature": feature}
        for at, (kind, feature) in enumerate(zip(kinds.tolist(), features, strict=True))
    ]  # fmt: skip
    place = Parts(run, EXTRACT, REGIONS.name).place(name)
    place.write_table(REGIONS.build(rows))
    Parts(run, EXTRACT, MAPS.name).place(name).write_table(MAPS.build([]))
    return place


def extracted(folder: Path) -> Run:
    run = Run.at(str(folder / "run"))
    directions = random_directions(32, DIMENSIONS, 0)
    run.write(PROJECTION, projection_table(directions), "extract", "projection.parquet")
    for name in KINDS:
        write_regions(run, name)
    run.finish(EXTRACT, {})
    return run


def settings(**cluster: object) -> Settings:
    return Settings(cluster=cluster)


def digest(run: Run) -> str:
    rows = [assignments(run, name).to_pylist() for name in KINDS]
    return hashlib.sha256(repr(rows).encode()).hexdigest()


@pytest.fixture(scope="module")
def on_one_cpu(tmp_path_factory) -> str:
    """Cluster on a cluster of one CPU, and return what came of it."""
    run = extracted(tmp_path_factory.mktemp("one"))
    with connected(EngineConfig(address="local", cpus=1)) as engine:
        flow.execute(run, settings(), engine)
    return digest(run)


@pytest.fixture(scope="module")
def engine(on_one_cpu) -> Iterator[Engine]:
    """A cluster of two CPUs; this process has joined no other by then."""
    with connected(EngineConfig(address="local", cpus=2)) as started:
        yield started


@pytest.fixture
def run(tmp_path) -> Run:
    return extracted(tmp_path)


@pytest.fixture
def manifest(run, engine) -> Manifest:
    return flow.execute(run, settings(), engine)


def files(run: Run) -> dict[str, int]:
    """Return when each class's file of each table was written, in nanoseconds."""
    folder = Path(run.root.path) / "cluster"
    places = [path for table in PARTS for path in (folder / table.name).iterdir()]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in places}


def of_class(found: dict[str, int], name: str) -> dict[str, int]:
    return {path: when for path, when in found.items() if path.split("/")[1].startswith(name)}


# -- what is written ------------------------------------------------------------------------------


def test_every_region_has_the_cluster_of_its_kind(run, manifest) -> None:
    for name, sizes in KINDS.items():
        rows = assignments(run, name).to_pylist()
        assert len(rows) == sum(sizes)
        assert {row["class"] for row in rows} == {name}
        assert [row["cluster"] for row in rows] == [row["col"] + 1 for row in rows], "by size"
        keys = [(row["image_id"], row["row"], row["col"]) for row in rows]
        assert keys == sorted(keys)


def test_tables_fit_their_schemas_and_each_other(run, manifest) -> None:
    clusters = run.read(CLUSTERS, "cluster", "clusters.parquet").to_pylist()
    spectra = run.read(SPECTRA, "cluster", "spectra.parquet").to_pylist()
    for table in PARTS:
        for name in KINDS:
            place = class_part(run, manifest, table, name)
            found = table.check(pq.read_table(place.path), place.name)
            assert found.num_rows
            assert set(found["class"].to_pylist()) == {name}
    expected = [(name, at) for name, sizes in KINDS.items() for at in range(1, len(sizes) + 1)]
    assert [(row["class"], row["cluster"]) for row in clusters] == expected
    assert [row["regions"] for row in clusters] == [size for own in KINDS.values() for size in own]
    assert [row["class"] for row in spectra] == list(KINDS)
    for row in spectra:
        own = [one for one in clusters if one["class"] == row["class"]]
        assert row["clusters"] == len(own)
        assert row["regions"] == sum(one["regions"] for one in own)
        assert sum(one["share"] for one in own) == pytest.approx(1)
        assert row["eigenvalues"][0] == 1
        assert row["residual"] < 1e-6
    regions = sum(sum(sizes) for sizes in KINDS.values())
    assert manifest.counts == {"classes": 3, "clusters": 6, "regions": regions}
    assert manifest.details["failed"] == {}


def test_exemplars_are_the_most_typical_regions_of_different_images(run, manifest) -> None:
    rows = run.read(CLUSTERS, "cluster", "clusters.parquet").to_pylist()
    for row in rows:
        members = assignments(run, row["class"]).to_pylist()
        own = [one for one in members if one["cluster"] == row["cluster"]]
        best = max(own, key=lambda one: one["typicality"])
        shown = row["exemplars"]
        assert shown[0] == {name: best[name] for name in ("image_id", "row", "col")}
        assert len({cell["image_id"] for cell in shown}) == len(shown) == row["images"]


def test_references_are_centred_regions_and_the_bank(run, manifest) -> None:
    for name, sizes in KINDS.items():
        clusters, unit = references(run, manifest, name)
        assert np.bincount(clusters).tolist() == [BANK, *sizes]
        np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=2e-3)
        place = Parts(run, EXTRACT, REGIONS.name).place(name)
        bank = read_regions([place], name, background=True).features
        expected = centred(bank, centre(run, manifest, name))
        np.testing.assert_allclose(unit[clusters == 0], expected, atol=2e-3)
        if len(sizes) > 1:  # one kind's mean is the class's, so nothing is left of its direction
            own = [unit[clusters == number].mean(axis=0) for number in range(1, len(sizes) + 1)]
            assert all(np.linalg.norm(mean) > 0.8 for mean in own)


def test_no_more_references_are_kept_than_wanted(run, engine) -> None:
    manifest = flow.execute(run, settings(references=10), engine)
    for name, sizes in KINDS.items():
        clusters, _ = references(run, manifest, name)
        assert (clusters > 0).sum() == (clusters == 0).sum() == 10
        assert assignments(run, name).num_rows == sum(sizes)


def test_the_number_of_cpus_changes_nothing(run, manifest, on_one_cpu) -> None:
    assert digest(run) == on_one_cpu


# -- resuming -------------------------------------------------------------------------------------


def test_what_is_done_is_not_done_again(run, manifest, engine) -> None:
    before = files(run)
    again = flow.execute(run, settings(), engine)
    assert files(run) == before
    assert again.identity == manifest.identity
    assert again.counts == manifest.counts


def test_only_what_is_missing_is_done(run, manifest, engine) -> None:
    expected, before = digest(run), files(run)
    class_part(run, manifest, SPECTRA, "dog").delete()
    (run.step("cluster") / "manifest.json").delete()
    flow.execute(run, settings(), engine)
    after = files(run)
    assert after.keys() == before.keys()
    assert {path for path in after if after[path] != before[path]} == set(of_class(after, "dog"))
    assert digest(run) == expected
    assert run.require("cluster").counts == manifest.counts


def test_a_class_without_its_last_table_is_not_done(run, manifest, engine) -> None:
    """Whatever else a killed task left: spectra are written last."""
    for table in (ASSIGNMENTS, REFERENCES):
        class_part(run, manifest, table, "cat").write_bytes(b"half a file")
    class_part(run, manifest, SPECTRA, "cat").delete()
    flow.execute(run, settings(), engine)
    assert assignments(run, "cat").num_rows == sum(KINDS["cat"])


# -- classes that fail ----------------------------------------------------------------------------


def damage(place: Location) -> None:
    """Spoil the features in a file; its footer and its other columns stay as they are."""
    path = Path(place.path)
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(at) for at in range(group.num_columns)]
    feature = next(column for column in columns if column.path_in_schema.startswith("feature"))
    content = bytearray(path.read_bytes())
    start = feature.dictionary_page_offset or feature.data_page_offset
    content[start : start + feature.total_compressed_size] = b"\xff" * feature.total_compressed_size
    path.write_bytes(content)


def test_a_damaged_file_fails_its_class_alone(run, engine) -> None:
    damage(Parts(run, EXTRACT, REGIONS.name).place("cow"))
    manifest = flow.execute(run, settings(), engine)
    assert list(manifest.details["failed"]) == ["cow"]
    assert manifest.details["failed"]["cow"]
    assert "\n" not in manifest.details["failed"]["cow"]
    assert (manifest.counts["classes"], manifest.counts["failed"]) == (2, 1)
    done = run.read(CLUSTERS, "cluster", "clusters.parquet")["class"].to_pylist()
    assert sorted(set(done)) == ["cat", "dog"]
    before = files(run)
    assert not of_class(before, "cow")

    # Repaired, the next execution does that class, and what was made of the rest is stale.
    write_regions(run, "cow")
    again = flow.execute(run, settings(), engine)
    after = files(run)
    assert again.details["failed"] == {}
    assert again.counts["classes"] == 3
    assert "failed" not in again.counts
    assert again.identity != manifest.identity
    assert {path: after[path] for path in before} == before
    assert len(of_class(after, "cow")) == len(PARTS)


def test_features_that_are_not_finite_fail_their_class_alone(run, engine) -> None:
    place = Parts(run, EXTRACT, REGIONS.name).place("cat")
    rows = place.read_table().to_pylist()
    for row in rows[:7]:
        row["feature"] = [float("nan")] * DIMENSIONS
    place.write_table(REGIONS.build(rows))
    manifest = flow.execute(run, settings(), engine)
    assert list(manifest.details["failed"]) == ["cat"]
    assert "7 of 100 regions" in manifest.details["failed"]["cat"]
    assert manifest.counts["classes"] == 2


def test_where_every_class_fails_there_is_no_result(run, engine) -> None:
    for name in KINDS:
        damage(Parts(run, EXTRACT, REGIONS.name).place(name))
    with pytest.raises(InputError, match="no class could be clustered"):
        flow.execute(run, settings(), engine)
    assert run.manifest("cluster") is None


def test_without_regions_there_is_nothing_to_cluster(tmp_path, engine) -> None:
    run = Run.at(str(tmp_path / "run"))
    run.finish(EXTRACT, {})
    with pytest.raises(InputError, match="extract kept no regions"):
        flow.execute(run, settings(), engine)


# -- settings of one class ------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"clusters": {"cat": 3}}, {"splits": ("cat/1",)}])
def test_the_settings_of_a_class_touch_only_its_files(run, manifest, engine, change) -> None:
    before = files(run)
    first = assignments(run, "cat")["cluster"].to_numpy()
    again = flow.execute(run, settings(**change), engine)
    after = files(run)
    others = {path: when for path, when in before.items() if path not in of_class(before, "cat")}
    assert {path: after[path] for path in others} == others
    assert not of_class(before, "cat").keys() & of_class(after, "cat").keys(), "nothing is left"
    assert len(of_class(after, "cat")) == len(PARTS)
    assert again.identity != manifest.identity
    now = assignments(run, "cat")["cluster"].to_numpy()
    assert set(now.tolist()) == {1, 2, 3}
    if "splits" in change:
        np.testing.assert_array_equal(now[first == 2], 2)
        assert set(now[first == 1].tolist()) == {1, 3}
    # And back: what stands for the other classes is as it was.
    flow.execute(run, settings(), engine)
    assert assignments(run, "cat")["cluster"].to_pylist() == first.tolist()
    assert {path: files(run)[path] for path in others} == others


def test_splits_follow_each_other(run, engine) -> None:
    flow.execute(run, settings(splits=("dog/1", "dog/4")), engine)
    found = assignments(run, "dog")["cluster"].to_numpy()
    assert set(found.tolist()) == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("change", [{"clusters": {"horse": 2}}, {"splits": ("horse/1",)}])
def test_a_class_that_is_not_there_is_refused(run, engine, change) -> None:
    with pytest.raises(ConfigError, match="no class horse") as caught:
        flow.execute(run, settings(**change), engine)
    assert "cat, cow, dog" in caught.value.remedy
    assert not run.step("cluster").exists(), "before anything is touched"


def test_settings_that_change_the_graph_change_every_file(run, manifest, engine) -> None:
    before = files(run)
    flow.execute(run, settings(neighbors=7), engine)
    after = files(run)
    assert len(after) == len(before)
    assert not after.keys() & before.keys()


# -- groups ---------------------------------------------------------------------------------------


def test_with_scope_all_every_cluster_has_a_group(run, engine) -> None:
    manifest = flow.execute(run, settings(scope="all"), engine)
    rows = run.read(CLUSTERS, "cluster", "clusters.parquet").to_pylist()
    own = [row for row in rows if row["class"] != SHARED]
    groups = [row for row in rows if row["class"] == SHARED]
    assert {row["class"] for row in own} == set(KINDS)
    assert {row["group"] for row in own} == {row["cluster"] for row in groups}
    for group in groups:
        members = [row for row in own if row["group"] == group["cluster"]]
        assert group["regions"] == sum(row["regions"] for row in members)
        assert group["images"] == sum(row["images"] for row in members)
    assert manifest.counts["groups"] == len(groups)
    assert manifest.counts["clusters"] == len(own)
    spectra = run.read(SPECTRA, "cluster", "spectra.parquet")
    assert spectra["class"].to_pylist() == [*KINDS]
    assert matrix(spectra["centre"]).shape == (3, DIMENSIONS)
