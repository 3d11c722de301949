"""A linear head on frozen, globally pooled features: one logistic regression a class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

_EPSILON = 1e-6  # a feature that never varies gets no infinite weight

Floats = npt.NDArray[np.float32]


def fit_class(
    embeddings: Floats, labelled: npt.NDArray[np.bool_], c: float
) -> tuple[Floats, float]:
    """Learn to tell a class from the rest.

    The features are standardised for the regression, which changes the plain maps more than any
    other choice here, and the weights are scaled back. Because pooling is linear, they give the
    class activation map when they are applied to every cell of the last convolutional map (Zhou
    et al., CVPR 2016).

    Args:
        embeddings: (n, d) float32 pooled features.
        labelled: (n,) bool, images with the label.
        c: Inverse strength of the L2 regularisation.

    Returns:
        (d,) float32 weights and the bias.
    """
    mean, deviation = embeddings.mean(axis=0), embeddings.std(axis=0) + _EPSILON
    model = LogisticRegression(C=c, max_iter=2000)
    model.fit((embeddings - mean) / deviation, labelled)
    weight = model.coef_[0] / deviation
    return weight.astype(np.float32), float(model.intercept_[0] - weight @ mean)
