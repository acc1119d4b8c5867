import pytest

from services.evaluation.statistics import interval, mean, median, spread


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
