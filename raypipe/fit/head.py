"""A linear head on frozen, globally pooled features: one logistic regression a class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

Floats = npt.NDArray[np.float32]


def fit_class(
    embeddings: Floats, labelled: npt.NDArray[np.bool_], c: float
) -> tuple[Floats, float]:
    """Learn to tell a class from the rest.

    Because pooling is linear, the learned weights applied to every cell of the last convolutional
    map give the class activation map (Zhou et al., CVPR 2016).

    Args:
        embeddings: (n, d) float32 pooled features.
        labelled: (n,) bool, images with the label.
        c: Inverse strength of the L2 regularisation.

    Returns:
        (d,) float32 weights and the bias.
    """
    model = LogisticRegression(C=c, max_iter=1000)
    model.fit(embeddings, labelled)
    return model.coef_[0].astype(np.float32), float(model.intercept_[0])
