"""The vote of the nearest references against a loop over all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raypipe.refine.match import Matcher
from raypipe.refine.references import References

CPU = torch.device("cpu")


def references(count: int = 60, size: int = 8, seed: int = 0) -> References:
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(count, size)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    centre = generator.normal(size=size).astype(np.float32) * 0.1
    return References(centre, rows, (generator.random(count) < 0.4).astype(np.float32))


def brute(found: References, features: np.ndarray, neighbors: int) -> np.ndarray:
    _, height, width = features.shape
    share = np.zeros((height, width))
    for row in range(height):
        for col in range(width):
            cell = features[:, row, col] / np.linalg.norm(features[:, row, col])
            cell = (cell - found.centre) / np.linalg.norm(cell - found.centre)
            nearest = np.argsort(-(found.unit @ cell))[:neighbors]
            share[row, col] = found.is_object[nearest].mean()
    return share


@pytest.mark.parametrize("neighbors", [1, 7, 60])
def test_it_is_the_share_of_brute_force(neighbors) -> None:
    features = np.random.default_rng(1).normal(size=(8, 5, 3)).astype(np.float32) * 4
    found = references()
    share = Matcher(found, neighbors, CPU).object_share(torch.from_numpy(features))
    assert share.shape == (5, 3)
    assert share.dtype == np.float32
    np.testing.assert_allclose(share, brute(found, features, neighbors), atol=1e-6)


def test_fewer_references_than_neighbours_all_vote() -> None:
    found = references(5)
    features = torch.ones(8, 2, 2)
    share = Matcher(found, 50, CPU).object_share(features)
    np.testing.assert_allclose(share, found.is_object.mean(), atol=1e-6)


def test_the_length_of_a_feature_says_nothing() -> None:
    features = torch.randn(8, 4, 4, generator=torch.Generator().manual_seed(0))
    matcher = Matcher(references(), 5, CPU)
    np.testing.assert_array_equal(
        matcher.object_share(features), matcher.object_share(features * 100)
    )


def test_a_cell_of_zeros_gets_a_number() -> None:
    share = Matcher(references(), 5, CPU).object_share(torch.zeros(8, 2, 2))
    assert np.isfinite(share).all()


def test_only_the_wanted_cells_are_looked_at() -> None:
    features = torch.randn(8, 4, 5, generator=torch.Generator().manual_seed(0))
    matcher = Matcher(references(), 5, CPU)
    wanted = np.random.default_rng(0).random((4, 5)) < 0.5
    share = matcher.object_share(features, wanted)
    np.testing.assert_array_equal(share, np.where(wanted, matcher.object_share(features), 0))
    nothing = matcher.object_share(features, np.zeros((4, 5), bool))
    np.testing.assert_array_equal(nothing, np.zeros((4, 5)))
