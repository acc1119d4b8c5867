"""Words, terms and tokens."""

import sys
import threading

import pytest

from pipelines.core import text
from pipelines.core.text import content_words, estimate_tokens, fold, is_statement, terms


@pytest.mark.parametrize(("chars", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (400, 100)])
def test_tokens_are_a_quarter_of_the_characters(chars: int, tokens: int) -> None:
    assert estimate_tokens("x" * chars) == tokens


@pytest.mark.parametrize(
    ("text", "tokens"), [("é" * 8, 2), ("橋は何メートルですか", 10), ("다리", 2), ("a橋b", 2), ("😀" * 3, 3)]
)
def test_wide_characters_are_tokens_of_their_own(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


def test_folding_makes_equal_what_reads_equal() -> None:
    assert fold("  Ａ ﬁne\n\tSTRASSE ") == fold("a fine straße") == "a fine strasse"


def test_numbers_and_names_are_one_word_each() -> None:
    assert content_words("The N-1234 flew 3.5 km on 2024-01-31, at 10:30!") == ["n-1234", "flew", "3.5", "km", "2024-01-31", "10:30"]  # fmt: skip  # noqa: E501


def test_possessives_and_stop_words_go() -> None:
    assert content_words("What is the company's height?") == ["company", "height"]
    assert content_words("of the and is") == content_words("") == content_words("…!") == []


def test_terms_are_stems() -> None:
    assert terms("Bridges bridge BRIDGING") == {"bridg"}


@pytest.mark.parametrize(
    ("sentence", "states"),
    [("The viaduct opened in 2004.", True), ("Contents", False), ("The following was found yesterday:", False),
     ("Was the viaduct opened in 2004?", False), ("", False)],
)  # fmt: skip
def test_what_can_state_anything(sentence: str, states: bool) -> None:
    assert is_statement(sentence) is states


def test_stems_are_right_with_many_threads() -> None:
    words = [f"{stem}{ending}" for stem in ("nation", "generous", "construct", "hope") for ending in
             ("", "s", "al", "ally", "alization", "ness", "ing", "ed", "ful", "fully", "able", "ly", "er")]  # fmt: skip
    expected = [text._stem.__wrapped__(word) for word in words]
    wrong: list[str] = []

    def stem() -> None:
        for _ in range(15):
            wrong.extend(
                word for word, right in zip(words, expected, strict=True) if text._stem.__wrapped__(word) != right
            )

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=stem) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
