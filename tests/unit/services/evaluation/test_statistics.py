import numpy as np
import pytest

from services.evaluation.statistics import interval, mean, median, paired_interval, spread, statistic_interval


def test_mean_and_percentiles() -> None:
    assert mean([1, 2, 6]) == 3
    assert median([5, 1, 3]) == 3
    assert spread([float(each) for each in range(101)]).model_dump() == {"p50": 50, "p95": 95}
    assert mean([]) == median([]) == 0
    assert interval([], seed=1) == (0, 0)


def test_an_interval_holds_the_mean_narrows_with_data_and_depends_on_the_seed_alone() -> None:
    few, many = [0.0, 1.0] * 20, [0.0, 1.0] * 500
    low, high = interval(few, seed=7)
    # normal approximation: 0.5 ± 1.96 · 0.5 / √40
    assert low == pytest.approx(0.345, abs=0.03)
    assert high == pytest.approx(0.655, abs=0.03)
    assert interval(few, seed=7) == (low, high)
    narrow_low, narrow_high = interval(many, seed=7)
    assert low < narrow_low < 0.5 < narrow_high < high
    assert interval([1.0, 1.0], seed=7) == (1, 1)


def test_a_paired_difference_is_sharper_than_the_intervals_of_its_sides() -> None:
    base = [number / 100 for number in range(100)]
    better = [value + (0.1 if place % 2 else 0.05) for place, value in enumerate(base)]
    paired = paired_interval(better, base, seed=7)
    assert paired.difference == pytest.approx(0.075)
    assert 0.065 < paired.interval[0] < 0.075 < paired.interval[1] < 0.085
    assert (paired.wins, paired.ties, paired.losses) == (100, 0, 0)
    assert interval(better, seed=7)[0] < interval(base, seed=7)[1]  # alone, they could not be told apart


def test_wins_ties_and_losses_are_counted_and_lists_of_two_lengths_refused() -> None:
    paired = paired_interval([1, 0, 1, 0], [0, 0, 1, 1], seed=1)
    assert (paired.wins, paired.ties, paired.losses) == (1, 2, 1)
    assert paired.difference == 0
    assert paired_interval([], [], seed=1).interval == (0, 0)
    with pytest.raises(ValueError, match="longer"):
        paired_interval([1.0], [1.0, 2.0], seed=1)


def test_the_interval_of_any_figure_is_that_of_the_mean_where_it_is_the_mean() -> None:
    values = np.array([0.0, 0.2, 0.9, 1.0, 0.4])
    by_figure = statistic_interval(lambda places: float(values[places].mean()), len(values), seed=3)
    assert by_figure == pytest.approx(interval(values.tolist(), seed=3))
    assert statistic_interval(lambda places: 1.0, 0, seed=3) == (0, 0)
