import numpy as np
import pytest

from services.evaluation.metrics.risk_coverage import abstained_at, aurc, risks


def test_risk_grows_with_coverage_where_confidence_is_right() -> None:
    wrong = np.array([0, 0, 1, 1], bool)
    assert risks(np.array([0.9, 0.8, 0.2, 0.1]), wrong).tolist() == pytest.approx([0, 0, 1 / 3, 1 / 2])
    assert aurc(np.array([0.9, 0.8, 0.2, 0.1]), wrong) == pytest.approx((1 / 3 + 1 / 2) / 4)
    assert aurc(np.array([0.1, 0.2, 0.8, 0.9]), wrong) == pytest.approx((1 + 1 + 2 / 3 + 1 / 2) / 4)


def test_items_of_one_confidence_come_at_their_mean_risk_whatever_their_order() -> None:
    for wrong in ([1, 1, 0, 0], [0, 0, 1, 1]):
        assert aurc(np.full(4, 0.5), np.array(wrong, bool)) == pytest.approx(0.5)


def test_abstention_at_a_coverage_of_the_answerable() -> None:
    confidence = np.array([*np.arange(0.1, 1.1, 0.1), 0.05, 0.15, 0.25, 0.95])
    answerable = np.array([1] * 10 + [0] * 4, bool)
    assert abstained_at(confidence, answerable, 0.9) == 0.5  # 0.1 falls; 0.05 and 0.15 lie below 0.2
    assert abstained_at(confidence, answerable, 1.0) == 0.25
    assert abstained_at(confidence[:10], answerable[:10], 0.9) == 0.0
