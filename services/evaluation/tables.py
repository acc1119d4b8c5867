"""From what each question scored to the figures of a task."""

from collections.abc import Collection, Sequence

from services.evaluation.figures import ALL, Figure, mean_figures
from services.evaluation.result import Measure, ScoredItem
from services.evaluation.statistics import interval, mean, spread


def figures_of(
    items: Sequence[ScoredItem], measures: Sequence[Measure], *, seed: int, baselines: Collection[str] = ()
) -> tuple[Figure, ...]:
    """Every measure of every system, group by group and over all.

    A mean with its interval; where the measure's name begins with `p50` or `p95`, that percentile. Where all systems
    have the same questions scored, each is paired with the best of the baselines.
    """
    groups = sorted({item.group for item in items if item.group})
    figures: list[Figure] = []
    for group in [*(groups if len(groups) > 1 else ()), ALL]:
        inside = [item for item in items if group in (ALL, item.group)]
        for measure in measures:
            figures += _of_measure(inside, measure, group, baselines, seed)
    return tuple(figures)


def _of_measure(
    items: Sequence[ScoredItem], measure: Measure, group: str, baselines: Collection[str], seed: int
) -> Sequence[Figure]:
    name, lower = measure.name, measure.better == "lower"
    values: dict[str, dict[str, float]] = {}
    for item in items:
        of_system = values.setdefault(item.system, {})
        if (score := item.scores.get(name)) is not None:
            of_system[item.id] = score
    percentile = {"p50": 0.5, "p95": 0.95}.get(name.split(maxsplit=1)[0])
    if percentile is None and len({tuple(each) for each in values.values()}) == 1 and all(values.values()):
        columns = {system: list(each.values()) for system, each in values.items()}
        return mean_figures(name, columns, baselines=baselines, seed=seed, group=group, lower=lower)
    return [_figure(name, system, group, list(each.values()), percentile, seed) for system, each in values.items()]


def _figure(measure: str, system: str, group: str, values: list[float], percentile: float | None, seed: int) -> Figure:
    if not values:
        return Figure(measure=measure, system=system, group=group, n=0, value=None)
    if percentile is None:
        value, bounds = mean(values), interval(values, seed)
    else:
        found = spread(values)
        value, bounds = found.p50 if percentile == 0.5 else found.p95, None
    return Figure(measure=measure, system=system, group=group, n=len(values), value=value, interval=bounds)
