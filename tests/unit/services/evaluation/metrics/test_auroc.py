import numpy as np
import pytest

from services.evaluation.metrics.auroc import auroc


@pytest.mark.parametrize(
    ("scores", "positive", "expected"),
    [
        ([1, 2, 3, 4], [0, 0, 1, 1], 1.0),
        ([4, 3, 2, 1], [0, 0, 1, 1], 0.0),
        ([1, 3, 2, 4], [0, 0, 1, 1], 0.75),  # of four pairs, (3, 2) is the wrong way round
        ([5, 5, 5, 5], [0, 1, 0, 1], 0.5),
        ([1, 2, 2], [0, 0, 1], 0.75),  # a tie is half a pair
        ([1, 2], [1, 1], 0.5),
    ],
)
def test_values_worked_out_by_hand(scores: list[float], positive: list[int], expected: float) -> None:
    assert auroc(np.array(scores, float), np.array(positive, bool)) == pytest.approx(expected)
