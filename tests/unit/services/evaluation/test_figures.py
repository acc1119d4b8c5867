import numpy as np
import pytest

from services.evaluation.figures import mean_figures, statistic_figures
from services.evaluation.statistics import Statistic

VALUES = {"raw": [0.0, 1.0, 0.0, 1.0], "lead": [1.0, 1.0, 0.0, 1.0], "ours": [1.0, 1.0, 1.0, 1.0]}


def test_each_system_is_paired_with_the_best_baseline() -> None:
    raw, lead, ours = mean_figures("recall", VALUES, baselines=("raw", "lead"), seed=7)
    assert (raw.value, lead.value, ours.value) == (0.5, 0.75, 1.0)
    assert (raw.against, lead.against, ours.against) == ("lead", "", "lead")
    assert lead.paired is None
    assert ours.paired is not None
    assert (ours.paired.difference, ours.paired.wins, ours.paired.ties) == (0.25, 1, 3)


def test_where_less_is_better_the_lowest_baseline_is_the_best_and_without_one_nothing_is_paired() -> None:
    raw, lead, _ = mean_figures("risk", VALUES, baselines=("raw", "lead"), seed=7, lower=True)
    assert (raw.against, lead.against) == ("", "raw")
    assert all(figure.paired is None for figure in mean_figures("recall", VALUES, baselines=(), seed=7))


def test_a_statistic_that_is_a_mean_has_the_figures_of_the_mean() -> None:
    def statistic(name: str) -> Statistic:
        return lambda places: float(np.array(VALUES[name])[places].mean())

    means = mean_figures("recall", VALUES, baselines=("raw",), seed=7)
    statistics = statistic_figures("recall", {name: statistic(name) for name in VALUES}, 4, baselines=("raw",), seed=7)
    for one, other in zip(means, statistics, strict=True):
        assert other.value == pytest.approx(one.value)
        assert other.interval == pytest.approx(one.interval)
        assert (other.system, other.against, other.n) == (one.system, one.against, one.n)
        if one.paired and other.paired:
            assert other.paired.interval == pytest.approx(one.paired.interval)
            assert other.paired.wins is None
