"""Probabilities and log odds, as numbers and as arrays, at any size."""

import math
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray


@overload
def sigmoid(odds: float) -> float: ...


@overload
def sigmoid(odds: NDArray[np.floating[Any]]) -> NDArray[np.float64]: ...


def sigmoid(odds: float | NDArray[np.floating[Any]]) -> float | NDArray[np.float64]:
    """The probability whose log odds these are; neither end overflows or warns."""
    probability = np.exp(-np.logaddexp(0.0, -np.asarray(odds, np.float64)))
    return probability if probability.ndim else float(probability)


def log_odds(probability: float, least: float = 1e-12) -> float:
    """What `sigmoid` makes a probability of.

    Args:
        least: A probability nearer to 0 or 1 counts as this far away, so that the odds are finite.
    """
    inside = min(1 - least, max(least, probability))
    return math.log(inside / (1 - inside))


def label_log_odds(logits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Log odds of each label against the others together, of logits of which one label is right: `(n, labels)`."""
    values = logits.astype(np.float64)
    odds = values.copy()
    for label in range(values.shape[1]):
        odds[:, label] -= np.logaddexp.reduce(np.delete(values, label, 1), axis=1)
    return odds
