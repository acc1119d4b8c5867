"""Selective answering: the risk of what is answered against how much is."""

import math

import numpy as np
from numpy.typing import NDArray


def risks(confidence: NDArray[np.float64], wrong: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of wrong ones among the 1, 2, ... n most confident items; items of one confidence come at their mean risk.

    Source: El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification" (JMLR 2010), section 2.
    """
    values, inverse = np.unique(-confidence, return_inverse=True)
    of_value = np.bincount(inverse, weights=wrong, minlength=len(values)) / np.bincount(inverse, minlength=len(values))
    return np.cumsum(of_value[np.sort(inverse)]) / np.arange(1, len(wrong) + 1)


def aurc(confidence: NDArray[np.float64], wrong: NDArray[np.bool_]) -> float:
    """Area under the risk–coverage curve: the mean risk over all coverages. Lower is better.

    Source: Geifman et al., "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers" (ICLR 2019), section 3.
    """
    return float(risks(confidence, wrong).mean()) if len(wrong) else 0.0


def abstained_at(confidence: NDArray[np.float64], answerable: NDArray[np.bool_], coverage: float) -> float:
    """Share of unanswerable items below the threshold that lets this share of the answerable ones pass."""
    kept, others = confidence[answerable], confidence[~answerable]
    if not len(kept) or not len(others):
        return 0.0
    dropped = len(kept) - math.ceil(coverage * len(kept))
    return float((others < np.sort(kept)[dropped]).mean())
