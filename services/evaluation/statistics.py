"""Means, percentiles, intervals and paired differences over questions."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.core.types import Value

RESAMPLES = 2000

Interval = tuple[float, float]
"""The 2.5th and the 97.5th percentile."""

Statistic = Callable[[NDArray[np.int64]], float]
"""A figure over the items of these places; a place may come several times."""


class Spread(Value):
    """Median and 95th percentile."""

    p50: float
    p95: float


class Paired(Value):
    """One system less another on the same items.

    Attributes:
        interval: 95 % bootstrap interval of the difference; items are drawn, both systems' values of each together.
        wins, ties, losses: Items on which the first is higher, equal, lower; `None` where no item has a figure alone.
    """

    difference: float
    interval: Interval
    wins: int | None = None
    ties: int | None = None
    losses: int | None = None


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
    if not len(values):
        return (0.0, 0.0)
    return _bounds(np.asarray(values, np.float64)[draws(len(values), seed)].mean(axis=1))


def paired_interval(a: Sequence[float], b: Sequence[float], seed: int) -> Paired:
    """The mean of `a` less the mean of `b`, item by item, higher is better.

    Raises:
        ValueError: they are not of the same length.
    """
    differences = [first - second for first, second in zip(a, b, strict=True)]
    return Paired(
        difference=mean(differences),
        interval=interval(differences, seed),
        wins=sum(each > 0 for each in differences),
        ties=sum(each == 0 for each in differences),
        losses=sum(each < 0 for each in differences),
    )


def statistic_interval(statistic: Statistic, n: int, seed: int) -> Interval:
    """The 95 % percentile bootstrap interval of any figure over `n` items; with a mean it is `interval`."""
    if not n:
        return (0.0, 0.0)
    return _bounds(np.array([statistic(drawn) for drawn in draws(n, seed)]))


def draws(n: int, seed: int) -> NDArray[np.int64]:
    """Places of items drawn with replacement, `(RESAMPLES, n)`: the same for all systems that share items and seed."""
    return np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))


def _bounds(values: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return (float(low), float(high))
