"""Which regions vote, and how they count."""

from __future__ import annotations

import numpy as np
import pytest

from raypipe.refine.references import ReferenceStore
from raypipe.storage.parts import Parts
from raypipe.storage.regions import region_files
from raypipe.storage.run import Plan, Run
from raypipe.tables import ASSIGNMENTS, MAPS, REGIONS, SPECTRA

CENTRE = [0.5, 0.0, 0.0]
# image, row, col, cluster (0: of the background bank), feature
CELLS = [
    ("a", 0, 0, 1, [1.0, 0.0, 0.0]), ("a", 0, 1, 2, [0.0, 1.0, 0.0]),
    ("b", 2, 2, 1, [0.5, 0.5, 0.0]), ("b", 2, 3, 3, [0.0, 0.0, 1.0]),
    ("a", 5, 5, 0, [0.0, -1.0, 0.0]), ("b", 5, 6, 0, [-1.0, 0.0, 0.0]),
]  # fmt: skip


def store(folder, verdicts: dict[tuple[str, int], str], cells=CELLS) -> ReferenceStore:
    run = Run.at(str(folder / "run"))
    extract, clusters = Plan("extract", {}, {}), Plan("cluster", {}, {})
    for shard in ("a", "b"):
        rows = [{"image_id": image, "class": name, "row": row, "col": col, "score": 0.5,
                 "background": number == 0, "feature": feature}
                for image, row, col, number, feature in cells if image == shard
                for name in ("cat", "dog")]  # fmt: skip
        Parts(run, extract, "regions").place(shard).write_table(REGIONS.build(rows))
        Parts(run, extract, "maps").place(shard).write_table(MAPS.build([]))
    run.finish(extract, {})
    for name in ("cat", "dog"):
        rows = [{"class": name, "cluster": number, "image_id": image, "row": row, "col": col,
                 "typicality": 1.0} for image, row, col, number, _ in cells if number]  # fmt: skip
        Parts(run, clusters, "assignments").place(name).write_table(ASSIGNMENTS.build(rows))
    spectra = [{"class": name, "clustering": "x", "eigenvalues": [1.0], "clusters": 3,
                "components": 1, "residual": 0.0, "regions": 4, "centre": centre}
               for name, centre in (("cat", CENTRE), ("dog", [0.0] * 3))]  # fmt: skip
    run.write(SPECTRA, SPECTRA.build(spectra), "cluster", "spectra.parquet")
    run.finish(clusters, {})
    return ReferenceStore(run, region_files(run), verdicts)


VERDICTS = {("cat", 1): "object", ("cat", 2): "distractor", ("cat", 3): "unsure",
            ("dog", 1): "distractor", ("dog", 2): "distractor", ("dog", 3): "unsure"}  # fmt: skip


def by_row(found) -> dict[tuple[float, ...], float]:
    rows = found.unit.astype(np.float64).round(3).tolist()
    return {tuple(row): float(own) for row, own in zip(rows, found.is_object, strict=True)}


def test_regions_vote_by_the_verdict_of_their_cluster(tmp_path) -> None:
    found = store(tmp_path, VERDICTS).read("cat")
    assert found is not None
    np.testing.assert_array_equal(found.centre, CENTRE)
    expected = {
        (1.0, 0.0, 0.0): 1.0,  # a 0 0, cluster 1: object
        (0.0, 1.0, 0.0): 1.0,  # b 2 2, cluster 1, less the centre
        (-0.447, 0.894, 0.0): 0.0,  # a 0 1, cluster 2: distractor
        (-0.447, -0.894, 0.0): 0.0,  # the bank
        (-1.0, 0.0, 0.0): 0.0,
    }
    assert by_row(found) == expected, "b 2 3 is of an unsure cluster: it has no vote"
    np.testing.assert_allclose(np.linalg.norm(found.unit, axis=1), 1, atol=1e-6)
    assert found.unit.dtype == found.is_object.dtype == found.centre.dtype == np.float32


def test_a_class_without_object_cluster_has_no_references(tmp_path) -> None:
    found = store(tmp_path, VERDICTS)
    assert found.read("dog") is None
    assert found.read("cow") is None


def test_a_cluster_that_nobody_answered_has_no_vote(tmp_path) -> None:
    found = store(tmp_path, {("cat", 1): "object"}).read("cat")
    assert found is not None
    assert found.is_object.tolist() == [1, 1, 0, 0]


def test_without_a_bank_the_clusters_vote_alone(tmp_path) -> None:
    found = store(tmp_path, VERDICTS, CELLS[:4]).read("cat")
    assert found is not None
    assert sorted(found.is_object.tolist()) == [0, 1, 1]


@pytest.mark.parametrize("verdict", ["unsure", "distractor"])
def test_the_verdict_of_another_class_says_nothing(tmp_path, verdict) -> None:
    found = store(tmp_path, {("dog", 1): "object", ("cat", 1): verdict})
    assert found.read("cat") is None
    assert found.read("dog") is not None
