"""The stored features: fewer dimensions, nearly the same cosines."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raypipe.localizers.projection import Projection, projection_table, random_directions
from raypipe.storage.run import Run
from raypipe.tables import PROJECTION

CPU = torch.device("cpu")


def test_directions_are_orthonormal() -> None:
    found = random_directions(200, 64, 0)
    assert (found.shape, found.dtype) == ((64, 200), np.float32)
    np.testing.assert_allclose(found @ found.T, np.eye(64), atol=4e-3)  # bfloat16 has 8 bits


def test_the_seed_decides() -> None:
    first = random_directions(50, 8, 3)
    np.testing.assert_array_equal(first, random_directions(50, 8, 3))
    assert not np.allclose(first, random_directions(50, 8, 4))


@pytest.mark.parametrize("dimensions", [0, 20, 21])
def test_nothing_is_done_where_nothing_is_to_be_reduced(dimensions) -> None:
    directions = random_directions(20, dimensions, 0)
    assert directions.shape == (0, 20)
    vectors = torch.randn(5, 20, generator=torch.Generator().manual_seed(0))
    found = Projection(directions, CPU)(vectors)
    torch.testing.assert_close(found, vectors / vectors.norm(dim=1, keepdim=True))


def test_cosines_are_kept() -> None:
    """Their standard error is at most 1 / sqrt(k): 0.0442 for the 512 of the default."""
    generator = np.random.default_rng(0)
    # Like features: positive, of a few factors, so that cosines of all sizes occur.
    factors = generator.random((12, 1024)) ** 4
    vectors = (generator.random((150, 12)) ** 4 @ factors + 0.01).astype(np.float32)
    vectors -= vectors.mean(axis=0)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    exact = unit @ unit.T
    assert exact.min() < -0.5
    found = Projection(random_directions(1024, 512, 0), CPU)(torch.from_numpy(vectors))
    assert found.shape == (150, 512)
    error = (found @ found.T).numpy() - exact
    assert np.sqrt((error**2).mean()) < 1 / 22
    assert np.abs(error).max() < 4 / 22


def test_bfloat16_features_are_projected_onto_the_same_directions() -> None:
    vectors = torch.randn(40, 96, generator=torch.Generator().manual_seed(0)).bfloat16()
    project = Projection(random_directions(96, 32, 0), CPU)
    exact = project(vectors.float())
    for again in (project(vectors), project(vectors.float()), project(vectors)):
        assert again.dtype == torch.float32
        assert (again * exact).sum(dim=1).min() > 0.9999


def test_rows_have_length_1_and_zeros_stay() -> None:
    vectors = torch.randn(4, 30, generator=torch.Generator().manual_seed(0)) * 1000
    vectors[2] = 0
    for dimensions in (0, 10):
        found = Projection(random_directions(30, dimensions, 0), CPU)(vectors)
        torch.testing.assert_close(found.norm(dim=1), torch.tensor([1.0, 1.0, 0.0, 1.0]))
    assert Projection(random_directions(30, 10, 0), CPU)(vectors[:0]).shape == (0, 10)


@pytest.mark.parametrize("dimensions", [0, 7])
def test_what_extraction_wrote_is_what_others_project_with(tmp_path, dimensions) -> None:
    run = Run.at(str(tmp_path / "run"))
    directions = random_directions(20, dimensions, 0)
    run.write(PROJECTION, projection_table(directions), "extract", "projection.parquet")
    vectors = torch.randn(5, 20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        Projection.of(run, CPU)(vectors), Projection(directions, CPU)(vectors), rtol=0, atol=0
    )
