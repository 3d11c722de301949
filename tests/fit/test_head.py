"""One class's row of the linear head."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from raypipe.fit.head import fit_class


def blobs(count: int = 200, size: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features of very different scales, and labels that the first two decide."""
    generator = np.random.default_rng(seed)
    labelled = np.arange(count) % 3 == 0
    features = generator.normal(size=(count, size))
    features[labelled, :2] += 4
    return (features * 10.0 ** np.arange(size) + 7).astype(np.float32), labelled


def test_it_tells_the_class_from_the_rest() -> None:
    embeddings, labelled = blobs()
    weight, bias = fit_class(embeddings, labelled, 1.0)
    assert weight.shape == (6,)
    assert weight.dtype == np.float32
    assert isinstance(bias, float)
    assert ((embeddings @ weight + bias > 0) == labelled).mean() > 0.98
    other, other_labelled = blobs(seed=1)
    assert ((other @ weight + bias > 0) == other_labelled).mean() > 0.98


@pytest.mark.parametrize("c", [1e-3, 1e-1, 1.0])
def test_it_is_a_regression_of_standardised_features(c) -> None:
    embeddings, labelled = blobs()
    exact = embeddings.astype(np.float64)
    model = LogisticRegression(C=c, max_iter=5000, tol=1e-8)
    model.fit((exact - exact.mean(axis=0)) / exact.std(axis=0), labelled)
    expected = model.decision_function((exact - exact.mean(axis=0)) / exact.std(axis=0))
    weight, bias = fit_class(embeddings, labelled, c)
    np.testing.assert_allclose(exact @ weight + bias, expected, rtol=0.01, atol=0.02)


def test_scale_and_offset_of_a_feature_do_not_matter() -> None:
    embeddings, labelled = blobs()
    weight, bias = fit_class(embeddings, labelled, 1e-2)
    changed = embeddings * np.float32(8) + np.float32(3)
    other, other_bias = fit_class(changed, labelled, 1e-2)
    np.testing.assert_allclose(
        changed @ other + other_bias, embeddings @ weight + bias, rtol=0.01, atol=0.01
    )


def test_a_feature_that_never_varies_gets_a_finite_weight() -> None:
    embeddings, labelled = blobs()
    embeddings[:, 3] = 5
    weight, bias = fit_class(embeddings, labelled, 1.0)
    assert np.isfinite(weight).all()
    assert np.isfinite(bias)
    assert abs(weight[3]) < 1e-2
    assert ((embeddings @ weight + bias > 0) == labelled).mean() > 0.98


def test_weaker_regularisation_gives_larger_weights() -> None:
    embeddings, labelled = blobs()
    norms = [np.linalg.norm(fit_class(embeddings, labelled, c)[0] * embeddings.std(axis=0))
             for c in (1e-3, 1e-1, 10)]  # fmt: skip
    assert norms == sorted(norms)
    assert norms[-1] > 2 * norms[0]
