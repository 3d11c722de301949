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


def brute(found: References, vectors: np.ndarray, neighbors: int) -> list[float]:
    shares = []
    for vector in vectors:
        cell = (vector - found.centre) / np.linalg.norm(vector - found.centre)
        nearest = np.argsort(-(found.unit @ cell))[:neighbors]
        shares.append(found.is_object[nearest].mean())
    return shares


def cells(count: int, size: int = 8) -> torch.Tensor:
    """Return vectors of length 1, as they are stored."""
    vectors = torch.randn(count, size, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.normalize(vectors, dim=1)


@pytest.mark.parametrize("neighbors", [1, 7, 60])
def test_it_is_the_share_of_brute_force(neighbors) -> None:
    vectors, found = cells(15), references()
    share = Matcher(found, neighbors, CPU).object_share(vectors)
    assert (share.shape, share.dtype) == ((15,), np.float32)
    assert share.max() > 0
    np.testing.assert_allclose(share, brute(found, vectors.numpy(), neighbors), atol=1e-6)


def test_fewer_references_than_neighbours_all_vote() -> None:
    found = references(5)
    share = Matcher(found, 50, CPU).object_share(cells(4))
    np.testing.assert_allclose(share, found.is_object.mean(), atol=1e-6)


def test_no_cells_have_no_share() -> None:
    assert Matcher(references(), 5, CPU).object_share(cells(0)).shape == (0,)


def test_a_cell_of_zeros_gets_a_number() -> None:
    share = Matcher(references(), 5, CPU).object_share(torch.zeros(3, 8))
    assert np.isfinite(share).all()
