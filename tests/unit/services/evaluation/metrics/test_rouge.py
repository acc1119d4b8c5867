import random

import pytest

from services.evaluation.metrics import rouge_l
from services.evaluation.metrics.rouge import _common


@pytest.mark.parametrize(
    ("text", "answers", "expected"),
    [
        ("The cat sat.", ["the cat sat"], 1.0),
        ("police killed the gunman", ["police kill the gunman"], 0.75),  # the example of Lin 2004, section 3.1
        ("the gunman kill police", ["police kill the gunman"], 0.5),
        ("a b c d", ["x", "a c"], 2 * 2 / 6),
        ("", ["x"], 0.0),
        ("x", [], 0.0),
    ],
)
def test_the_longest_common_subsequence_with_the_nearest_answer(text: str, answers: list[str], expected: float) -> None:
    assert rouge_l(text, answers) == pytest.approx(expected)


def test_bits_count_what_the_table_of_the_textbook_counts() -> None:
    chance = random.Random(1)
    for _ in range(200):
        left, right = ([chance.choice("abcd") for _ in range(chance.randrange(12))] for _ in range(2))
        table = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
        for i, one in enumerate(left):
            for j, other in enumerate(right):
                table[i + 1][j + 1] = table[i][j] + 1 if one == other else max(table[i][j + 1], table[i + 1][j])
        assert _common(left, right) == table[-1][-1]
