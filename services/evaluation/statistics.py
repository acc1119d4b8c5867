"""Means, percentiles and intervals over questions."""

from collections.abc import Sequence

import numpy as np

from services.evaluation.result import Interval, Spread

RESAMPLES = 2000


def mean(values: Sequence[float]) -> float:
    """The mean; of nothing, 0."""
    return float(np.mean(values)) if values else 0.0


def median(values: Sequence[float]) -> float:
    """The median; of nothing, 0."""
    return spread(values).p50


def spread(values: Sequence[float]) -> Spread:
    """Median and 95th percentile, interpolated between neighbours; of nothing, 0."""
    p50, p95 = np.percentile(values or [0.0], [50, 95])
    return Spread(p50=float(p50), p95=float(p95))


def interval(values: Sequence[float], seed: int) -> Interval:
    """The 95 % percentile bootstrap interval of the mean. The same values and seed give the same interval.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), section 13.3.
    """
    if not values:
        return (0.0, 0.0)
    drawn = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(np.asarray(values)[drawn].mean(axis=1), [2.5, 97.5])
    return (float(low), float(high))
