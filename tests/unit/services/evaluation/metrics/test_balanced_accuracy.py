import numpy as np
import pytest

from services.evaluation.metrics.balanced_accuracy import balanced_accuracy, best_threshold


def test_both_classes_weigh_the_same_whatever_their_size() -> None:
    true = np.array([1, 0, 0, 0, 0], bool)
    assert balanced_accuracy(np.zeros(5, bool), true) == 0.5
    assert balanced_accuracy(np.array([1, 1, 0, 0, 0], bool), true) == pytest.approx((1 + 3 / 4) / 2)
    assert balanced_accuracy(np.ones(2, bool), np.ones(2, bool)) == 1.0


@pytest.mark.parametrize(
    ("scores", "true", "expected"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], 0.5),
        ([0.1, 0.4, 0.4, 0.9], [0, 0, 1, 1], 0.25),  # equal scores are never parted; both cuts beside them are as good
        ([0.1, 0.2], [1, 1], 0.1),
    ],
)
def test_the_best_threshold_lies_between_two_scores(scores: list[float], true: list[int], expected: float) -> None:
    assert best_threshold(np.array(scores), np.array(true, bool)) == pytest.approx(expected)


def test_no_threshold_does_better() -> None:
    chance = np.random.default_rng(3)
    scores, true = chance.integers(10, size=60) / 10, chance.random(60) < 0.4
    best = balanced_accuracy(scores >= best_threshold(scores, true), true)
    assert best == max(balanced_accuracy(scores >= cut, true) for cut in np.arange(-0.05, 1.1, 0.05))
