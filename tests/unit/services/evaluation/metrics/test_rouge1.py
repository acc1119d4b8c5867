import pytest

from services.evaluation.metrics.rouge1 import rouge_1


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        ("What does it eat?", "what does it eat", 1.0),
        ("What does it eat?", "What does the fox eat?", 2 * 3 / (4 + 5)),
        ("the the the", "the fox", 2 * 1 / (3 + 2)),  # a word counts as often as both have it
        ("fox", "wolf", 0.0),
        ("", "", 0.0),
    ],
)
def test_values_worked_out_by_hand(text: str, reference: str, expected: float) -> None:
    assert rouge_1(text, reference) == pytest.approx(expected)
