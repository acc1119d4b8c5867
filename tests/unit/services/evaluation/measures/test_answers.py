import pytest

from pipelines.core.types import Answer, AnswerStatus
from services.evaluation.data.sets import Item
from services.evaluation.measures.answers import following
from services.evaluation.measures.scoring import Outcome

ITEMS = [Item(str(number), "?", (), ("d",), ("1",), "", {}) for number in range(5)]


@pytest.mark.parametrize(
    ("start", "count", "expected"), [(2, 2, "23"), (3, 4, "3401"), (5, 2, "01"), (2, 9, "23401"), (0, 0, "")]
)
def test_the_following_items_wrap_and_never_come_twice(start: int, count: int, expected: str) -> None:
    assert "".join(item.id for item in following(ITEMS, start, count)) == expected


def outcome(text: str, status: AnswerStatus = AnswerStatus.ANSWERED) -> Outcome:
    return Outcome(ITEMS[0], Answer(id="a", question="?", status=status, text=text))


def test_a_marker_is_not_part_of_the_answer() -> None:
    assert outcome("It was 1 [2].").right
    assert not outcome("It was two [1].").right


def test_an_abstention_and_an_error_are_no_answers() -> None:
    abstention = outcome("There is no 1.", AnswerStatus.INSUFFICIENT)
    assert (abstention.abstained, abstention.answered, abstention.right) == (True, False, False)
    error = Outcome(ITEMS[0], error="deadline_exceeded")
    assert (error.abstained, error.answered, error.right) == (False, False, False)
    degraded = outcome("1", AnswerStatus.DEGRADED)
    assert (degraded.abstained, degraded.answered, degraded.right) == (False, True, True)
