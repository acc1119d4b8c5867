"""Balanced accuracy, and the threshold that reaches most of it."""

import numpy as np
from numpy.typing import NDArray


def balanced_accuracy(said: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """Mean of the shares of positives and of negatives that were said to be so; of the one class where only one is."""
    shares = [float(right.mean()) for right in (said[true], ~said[~true]) if len(right)]
    return sum(shares) / len(shares) if shares else 0.0


def best_threshold(scores: NDArray[np.float64], true: NDArray[np.bool_]) -> float:
    """The threshold with the highest balanced accuracy of `scores >= threshold`, midway between two scores."""
    order = np.argsort(scores, kind="stable")
    ordered, positive = scores[order], true[order]
    # Cutting before place i says no to the first i.
    negatives_below = np.concatenate(([0], np.cumsum(~positive)))
    positives_below = np.concatenate(([0], np.cumsum(positive)))
    gain = negatives_below / max(1, negatives_below[-1]) - positives_below / max(1, positives_below[-1])
    cuts = np.concatenate(([True], ordered[1:] > ordered[:-1], [True]))
    at = int(np.argmax(np.where(cuts, gain, -np.inf)))
    if at == 0:
        return float(ordered[0])
    return float((ordered[at - 1] + ordered[at]) / 2) if at < len(ordered) else float(np.nextafter(ordered[-1], np.inf))
