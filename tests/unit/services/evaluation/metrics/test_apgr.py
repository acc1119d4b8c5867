import numpy as np
import pytest

from services.evaluation.metrics.apgr import apgr

SMALL = np.array([0, 1, 0, 1], bool)
LARGE = np.array([1, 1, 1, 0], bool)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([9, 5, 8, 1], 1.375),  # recovered 0, 1, 2, 2, 1 of a lead of one: trapezes 0.5 + 1.5 + 2 + 1.5 over four
        ([1, 5, 2, 9], -0.375),
        ([1, 1, 1, 1], 0.5),
    ],
)
def test_values_worked_out_by_hand(scores: list[int], expected: float) -> None:
    assert apgr(np.array(scores, float), SMALL, LARGE) == pytest.approx(expected)


def test_without_a_lead_there_is_nothing_to_recover() -> None:
    assert apgr(np.arange(4.0), SMALL, SMALL) == 0
