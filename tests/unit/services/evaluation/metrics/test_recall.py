import pytest

from services.evaluation.metrics import recall


@pytest.mark.parametrize(
    ("ranked", "gold", "expected"),
    [
        (["a", "b", "c"], ["a"], 1.0),
        (["a", "b", "c"], ["c"], 0.0),
        (["a", "b"], ["a", "x"], 0.5),
        (["a", "b"], ["a", "b", "x"], 2 / 3),
        (["a", "a"], ["a", "b"], 0.5),
        ([], ["a"], 0.0),
    ],
)
def test_share_of_the_gold_ids_among_the_first_two(ranked: list[str], gold: list[str], expected: float) -> None:
    assert recall(ranked, gold, 2) == pytest.approx(expected)
