"""Rows that every stage's evaluation gives: one measure of one system on one group of items, against a baseline."""

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.core.types import Value
from services.evaluation.statistics import (
    Interval,
    Paired,
    Statistic,
    interval,
    mean,
    paired_interval,
    statistic_interval,
)

ALL = "all"


class Figure(Value):
    """One measure of one system.

    Attributes:
        group: `ALL`, or a part of the items.
        n: Items.
        value: `None` where there was nothing to measure, or a price is unknown.
        interval: 95 % bootstrap interval over the items.
        against: The best baseline of the same measure and group, which `paired` is the difference to; empty for it.
    """

    measure: str
    system: str
    group: str
    n: int
    value: float | None
    interval: Interval | None = None
    against: str = ""
    paired: Paired | None = None


def mean_figures(
    measure: str,
    values: Mapping[str, Sequence[float]],
    *,
    baselines: Collection[str],
    seed: int,
    group: str = ALL,
    lower: bool = False,
) -> tuple[Figure, ...]:
    """A figure a system that is the mean of its items' values, all over the same items in the same order.

    Args:
        lower: Less is better.
    """
    best = _best({name: mean(each) for name, each in values.items() if name in baselines}, lower)
    return tuple(
        Figure(
            measure=measure,
            system=name,
            group=group,
            n=len(each),
            value=mean(each),
            interval=interval(each, seed),
            against=best if name != best else "",
            paired=paired_interval(each, values[best], seed) if best and name != best else None,
        )
        for name, each in values.items()
    )


def statistic_figures(
    measure: str,
    statistics: Mapping[str, Statistic],
    n: int,
    *,
    baselines: Collection[str],
    seed: int,
    group: str = ALL,
    lower: bool = False,
) -> tuple[Figure, ...]:
    """The same for a measure that is no mean: an area, a balanced accuracy.

    Args:
        statistics: What each system reaches on the items of some places; all over the same `n` items.
    """
    everything = np.arange(n)
    whole = {name: statistic(everything) for name, statistic in statistics.items()}
    best = _best({name: value for name, value in whole.items() if name in baselines}, lower)
    return tuple(
        Figure(
            measure=measure,
            system=name,
            group=group,
            n=n,
            value=whole[name],
            interval=statistic_interval(statistic, n, seed),
            against=best if name != best else "",
            paired=_paired(statistic, statistics[best], n, seed) if best and name != best else None,
        )
        for name, statistic in statistics.items()
    )


def _paired(first: Statistic, second: Statistic, n: int, seed: int) -> Paired:
    def difference(places: NDArray[np.int64]) -> float:
        return first(places) - second(places)

    return Paired(difference=difference(np.arange(n)), interval=statistic_interval(difference, n, seed))


def _best(values: Mapping[str, float], lower: bool) -> str:
    """The best baseline, the first where several are; none without a baseline."""
    choose: Callable[..., str] = min if lower else max
    return choose(values, key=lambda name: values[name]) if values else ""
