"""Groups of look-alike clusters of several classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raypipe.cluster.group import group, grouped
from raypipe.cluster.rows import EXEMPLARS
from raypipe.config import ClusterConfig
from raypipe.errors import ConfigError
from raypipe.tables import CLUSTERS, SHARED

CONFIG = ClusterConfig(scope="all", clusters={SHARED: 3})
CLASSES = [f"class{at:02}" for at in range(30)]
LOOKS = 3
"""Each class has a cluster of every look."""


def centroids(looks: int = LOOKS, classes: int = len(CLASSES)) -> np.ndarray:
    """Return the mean features of every class's clusters, look by look."""
    generator = np.random.default_rng(0)
    centres = np.linalg.qr(generator.normal(size=(16, 16)))[0][:looks]
    noise = 0.1 * generator.normal(size=(classes, looks, 16))
    return (centres + noise).reshape(-1, 16).astype(np.float32)


def clusters() -> pa.Table:
    rows: list[dict[str, Any]] = []
    features = centroids()
    for at, feature in enumerate(features):
        name, look = CLASSES[at // LOOKS], at % LOOKS
        regions = 10 * (1 + at // LOOKS) + look
        rows.append({
            "class": name, "cluster": look + 1, "regions": regions, "share": 0.3,
            "images": 5 + look, "image_share": 0.5, "membership": f"{name}{look}", "group": None,
            "background": look / 10, "centroid": feature.astype(np.float16),
            "exemplars": [{"image_id": f"{name}-{rank}", "row": look, "col": rank}
                          for rank in range(2)],
        })  # fmt: skip
    return CLUSTERS.build(rows)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return CLUSTERS.check(grouped(clusters(), CONFIG), "here").to_pylist()


def test_clusters_that_look_alike_have_one_group(rows) -> None:
    own = rows[: len(CLASSES) * LOOKS]
    by_look = [{row["group"] for row in own if row["cluster"] == look + 1} for look in range(LOOKS)]
    assert all(len(found) == 1 for found in by_look)
    assert set.union(*by_look) == {1, 2, 3}


def test_nothing_else_of_the_clusters_changes(rows) -> None:
    before = clusters().to_pylist()
    assert [row | {"group": None} for row in rows[: len(before)]] == before


def test_a_group_sums_up_its_clusters(rows) -> None:
    own, groups = rows[: len(CLASSES) * LOOKS], rows[len(CLASSES) * LOOKS :]
    assert [row["cluster"] for row in groups] == [1, 2, 3]
    for row in groups:
        members = [one for one in own if one["group"] == row["cluster"]]
        regions = [one["regions"] for one in members]
        assert row["class"] == SHARED
        assert row["group"] is None
        assert row["regions"] == sum(regions)
        assert row["images"] == sum(one["images"] for one in members)
        features = np.array([one["centroid"] for one in members], float)
        mean = np.average(features, axis=0, weights=regions)
        np.testing.assert_allclose(np.array(row["centroid"], float), mean, atol=1e-3)
        assert row["background"] == pytest.approx(members[0]["background"]), "one look's"
    for column in ("share", "image_share"):
        assert sum(row[column] for row in groups) == pytest.approx(1)


def test_a_group_shows_one_cell_of_many_classes_first(rows) -> None:
    for row in rows[len(CLASSES) * LOOKS :]:
        cells = row["exemplars"]
        assert len(cells) == EXEMPLARS
        assert len({cell["image_id"].split("-")[0] for cell in cells}) == EXEMPLARS
        assert {cell["col"] for cell in cells} == {0}, "the most typical one of each"
        assert cells[0]["image_id"].startswith(CLASSES[-1]), "of the largest cluster first"


def test_membership_follows_the_members_and_not_their_order(rows) -> None:
    groups = {row["cluster"]: row["membership"] for row in rows if row["class"] == SHARED}
    assert len(set(groups.values())) == LOOKS
    table = clusters()
    order = np.random.default_rng(0).permutation(table.num_rows)
    shuffled = grouped(table.take(pa.array(order)), CONFIG)
    found = {row["membership"] for row in shuffled.to_pylist() if row["class"] == SHARED}
    assert found == set(groups.values())
    changed = table.to_pylist()
    changed[0]["membership"] = "another"
    other = grouped(CLUSTERS.build(changed), CONFIG)
    differing = {row["membership"] for row in other.to_pylist() if row["class"] == SHARED}
    assert len(differing - set(groups.values())) == 1


def test_one_cluster_is_a_group_of_its_own() -> None:
    found = grouped(clusters().slice(0, 1), CONFIG)
    assert found["group"].to_pylist() == [1, None]
    assert found["regions"].to_pylist() == [10, 10]
    assert found["share"].to_pylist()[1] == 1.0


def numbers(features: np.ndarray, config: ClusterConfig, classes: int = 30) -> np.ndarray:
    return group(features, range(1, len(features) + 1), classes, config)


@pytest.mark.parametrize(("classes", "groups"), [(1, 3), (4, 5), (14, 10), (30, 14)])
def test_there_are_more_groups_where_there_are_more_classes(classes, groups) -> None:
    features = centroids(looks=8, classes=classes)
    assert numbers(features, ClusterConfig(), classes).max() == groups


def test_the_group_of_the_most_regions_comes_first() -> None:
    found = numbers(centroids(), CONFIG)
    weights = np.bincount(found, weights=np.arange(1, len(found) + 1))
    assert (np.diff(weights[1:]) <= 0).all()


def test_copies_make_fewer_groups_than_are_wanted() -> None:
    found = numbers(np.repeat(centroids()[:2], 20, axis=0), ClusterConfig())
    assert set(found[:20].tolist()) == {2}
    assert set(found[20:].tolist()) == {1}


def test_the_number_of_groups_can_be_given_and_a_group_split() -> None:
    features = centroids()
    given = ClusterConfig(clusters={SHARED: 2, "class00": 7})
    assert numbers(features, given).max() == 2
    first = numbers(features, CONFIG)
    second = numbers(features, CONFIG.model_copy(update={"splits": ("*/2", "class00/1")}))
    assert set(second[first == 2].tolist()) == {2, 4}
    np.testing.assert_array_equal(second[first != 2], first[first != 2])


def test_a_group_of_one_cluster_is_not_split() -> None:
    with pytest.raises(ConfigError, match="holds 1 clusters"):
        numbers(centroids()[:1], ClusterConfig(splits=("*/1",)))
