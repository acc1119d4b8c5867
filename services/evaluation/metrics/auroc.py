"""Area under the receiver operating characteristic."""

import numpy as np
from numpy.typing import NDArray


def auroc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Share of pairs of a positive and a negative in which the positive scores higher, ties half; 0.5 without pairs.

    Source: Hanley and McNeil, "The Meaning and Use of the Area under a ROC Curve" (Radiology 1982).
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return 0.5
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse]
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))
