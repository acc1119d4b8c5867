import pytest

from services.evaluation.metrics import ndcg


@pytest.mark.parametrize(
    ("ranked", "gold", "expected"),
    [
        (["a", "x", "y"], ["a"], 1.0),
        (["x", "a", "y"], ["a"], 0.63093),  # (1 / log2 3) / (1 / log2 2)
        (["x", "y", "a"], ["a"], 0.5),  # (1 / log2 4) / 1
        (["x", "y", "z", "a"], ["a"], 0.0),  # beyond k
        (["a", "x", "b"], ["a", "b"], 0.91972),  # (1 + 0.5) / (1 + 0.63093)
        (["a", "b", "c"], ["a", "b", "c", "d", "e"], 1.0),  # no ranking of three can do better
        ([], ["a"], 0.0),
    ],
)
def test_values_worked_out_by_hand_at_three(ranked: list[str], gold: list[str], expected: float) -> None:
    assert ndcg(ranked, gold, 3) == pytest.approx(expected, abs=1e-5)
