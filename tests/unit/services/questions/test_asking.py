"""Questions that are refused before any work."""

import pytest

from pipelines.core.errors import InvalidRequestError, RequestTooLargeError
from pipelines.core.settings import AnswerSettings, Settings
from pipelines.core.types import Question, Turn
from services.runtime import Runtime

LIMITS = AnswerSettings(max_question_chars=20, max_history_turns=3, max_history_chars=10)


def question(text: str = "How tall?", *turns: str) -> Question:
    return Question(text=text, history=tuple(Turn(role="user", text=turn) for turn in turns))


@pytest.mark.parametrize(
    "asked",
    [question("x" * 20), question("q", "x" * 10), question("q", "xxxxx", "xxxx", "x"), question("橋" * 20, "😀" * 10)],
)
def test_what_is_within_the_limits_passes(asked: Question) -> None:
    Runtime(Settings(answer=LIMITS)).asking.check(asked)


@pytest.mark.parametrize(
    ("asked", "detail"),
    [
        (question("x" * 21), "question is longer than 20"),
        (question("q", "x" * 11), "conversation is longer than 10"),
        (question("q", "x" * 6, "x" * 5), "conversation is longer than 10"),
        (question("q", *"abcd"), "more than 3 turns"),
    ],
)
def test_what_is_larger_is_refused(asked: Question, detail: str) -> None:
    with pytest.raises(RequestTooLargeError, match=detail):
        Runtime(Settings(answer=LIMITS)).asking.check(asked)


@pytest.mark.parametrize("asked", [question(""), question(" \n\t"), question("a\udcff"), question("q", "\ud83d")])
def test_what_is_no_text_is_refused(asked: Question) -> None:
    with pytest.raises(InvalidRequestError):
        Runtime(Settings(answer=LIMITS)).asking.check(asked)
