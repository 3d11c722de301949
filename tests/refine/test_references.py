"""Which regions vote, and how they count."""

from __future__ import annotations

import numpy as np
import pytest

from raypipe.errors import InputError
from raypipe.refine.references import ReferenceStore
from raypipe.storage.clusters import class_part
from raypipe.storage.run import Plan, Run
from raypipe.tables import REFERENCES
from tests.clustered import Clustered, write_clusters

CENTRE = [0.5, 0.0, 0.0]
# cluster (0: of the background bank), feature
CELLS = [
    (1, [1.0, 0.0, 0.0]), (2, [0.0, 1.0, 0.0]), (1, [0.0, 0.0, 1.0]), (3, [-1.0, 0.0, 0.0]),
    (0, [0.0, -1.0, 0.0]), (0, [0.0, 0.0, -1.0]),
]  # fmt: skip


def store(
    folder, verdicts: dict[tuple[str, int], str], cells=CELLS, guesses=None
) -> ReferenceStore:
    run = Run.at(str(folder / "run"))
    run.finish(Plan("extract", {}, {}), {})
    regions = [(number, "a", at, 0, 1.0) for at, (number, _) in enumerate(cells) if number]
    manifest = write_clusters(run, {
        "cat": Clustered(regions, cells, CENTRE), "dog": Clustered(regions, cells, [0.0] * 3)
    })  # fmt: skip
    return ReferenceStore(run, manifest, verdicts, guesses or {})


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
        (1.0, 0.0, 0.0): 1.0,  # cluster 1: object
        (0.0, 0.0, 1.0): 1.0,
        (0.0, 1.0, 0.0): 0.0,  # cluster 2: distractor
        (0.0, -1.0, 0.0): 0.0,  # the bank
        (0.0, 0.0, -1.0): 0.0,
    }
    assert by_row(found) == expected, "cluster 3 is unsure: it has no vote"
    assert found.unit.dtype == found.is_object.dtype == found.centre.dtype == np.float32


def test_a_class_without_object_cluster_has_no_references(tmp_path) -> None:
    found = store(tmp_path, VERDICTS)
    assert found.read("dog") is None
    assert found.read("cow") is None


def test_a_cluster_that_nobody_answered_has_no_vote(tmp_path) -> None:
    found = store(tmp_path, {("cat", 1): "object"}).read("cat")
    assert found is not None
    assert found.is_object.tolist() == [1, 1, 0, 0]


GUESSES = {(name, number): 0.75 for name in ("cat", "dog") for number in (1, 2, 3)}


def test_guesses_are_the_votes_of_what_nobody_answered(tmp_path) -> None:
    found = store(tmp_path, {("cat", 1): "object", ("cat", 2): "unsure"}, guesses=GUESSES)
    cat = found.read("cat")
    assert cat is not None
    assert by_row(cat) == {
        (1.0, 0.0, 0.0): 1.0,
        (0.0, 0.0, 1.0): 1.0,
        (-1.0, 0.0, 0.0): 0.75,  # cluster 3; cluster 2 is unsure: it has no vote
        (0.0, -1.0, 0.0): 0.0,  # the bank
        (0.0, 0.0, -1.0): 0.0,
    }
    assert cat.guessed == pytest.approx(1 / 3)
    dog = found.read("dog")
    assert dog is not None
    assert dog.guessed == 1.0
    assert dog.is_object.tolist() == [0.75] * 4 + [0, 0]


def test_answers_leave_nothing_to_guess(tmp_path) -> None:
    found = store(tmp_path, VERDICTS, guesses=GUESSES)
    assert found.read("dog") is None
    cat = found.read("cat")
    assert cat is not None
    assert cat.guessed == 0.0


def test_without_a_bank_the_clusters_vote_alone(tmp_path) -> None:
    found = store(tmp_path, VERDICTS, CELLS[:4]).read("cat")
    assert found is not None
    assert sorted(found.is_object.tolist()) == [0, 1, 1]


@pytest.mark.parametrize("verdict", ["unsure", "distractor"])
def test_the_verdict_of_another_class_says_nothing(tmp_path, verdict) -> None:
    found = store(tmp_path, {("dog", 1): "object", ("cat", 1): verdict})
    assert found.read("cat") is None
    assert found.read("dog") is not None


def test_a_class_whose_file_is_damaged_is_named(tmp_path) -> None:
    found = store(tmp_path, VERDICTS)
    class_part(found.run, found.clustering, REFERENCES, "cat").write_bytes(b"not a table")
    with pytest.raises(InputError, match="references/cat"):
        found.read("cat")
    assert store(tmp_path / "other", VERDICTS).read("cat") is not None
