"""What a router gains over sending every question to the small model, averaged over how many go to the large one."""

import numpy as np
from numpy.typing import NDArray


def apgr(scores: NDArray[np.float64], small: NDArray[np.bool_], large: NDArray[np.bool_]) -> float:
    """Average performance gap recovered: 0.5 for a router that knows nothing, 0 where the large model gains nothing.

    Questions of the highest scores go to the large model first; questions of one score go at their mean gain.

    Source: Ong et al., "RouteLLM" (arXiv 2406.18665), section 3.1, with the mean over every share of calls in place of
    ten.

    Args:
        small, large: Whether each model is right on each question.
    """
    gain = large.astype(np.float64) - small
    if not gain.sum():
        return 0.0
    values, inverse = np.unique(-scores, return_inverse=True)
    of_value = np.bincount(inverse, weights=gain, minlength=len(values)) / np.bincount(inverse, minlength=len(values))
    recovered = np.concatenate(([0.0], np.cumsum(of_value[np.sort(inverse)]))) / gain.sum()
    return float((recovered[:-1] + recovered[1:]).mean() / 2)
