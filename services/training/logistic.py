"""Logistic regression over a few features."""

import numpy as np
from numpy.typing import NDArray

from pipelines.core.odds import sigmoid

STEPS = 50
"""Newton's method is at its end long before."""


def fit_logistic(
    features: NDArray[np.float64],
    positive: NDArray[np.bool_],
    *,
    ridge: float = 1.0,
    counts: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], float]:
    """Weights of the features as they are, and the bias.

    Args:
        features: `(n, k)`.
        ridge: Strength of the penalty on weights, the features scaled to a standard deviation of one.
        counts: How much each row counts, `(n,)`; without it all count one.
    """
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation[deviation == 0] = 1.0
    scaled = np.column_stack([(features - mean) / deviation, np.ones(len(features))])
    counts = np.ones(len(positive)) if counts is None else counts
    penalty = ridge * np.eye(scaled.shape[1])
    penalty[-1, -1] = 1e-6  # the bias is free; separable data still has an end
    weights = np.zeros(scaled.shape[1])
    for _ in range(STEPS):
        said = sigmoid(scaled @ weights)
        slope = scaled.T @ (counts * (said - positive)) + penalty @ weights
        curvature = (scaled * (counts * said * (1 - said))[:, None]).T @ scaled + penalty
        weights -= np.linalg.solve(curvature, slope)
    return weights[:-1] / deviation, float(weights[-1] - (weights[:-1] * mean / deviation).sum())
