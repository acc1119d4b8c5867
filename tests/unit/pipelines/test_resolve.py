"""Which words of earlier turns a question needs."""

import pytest

from pipelines.core.encoders import Head, Heads
from pipelines.core.settings import EncoderSettings, HeadSettings
from pipelines.core.types import Turn
from pipelines.resolve import MAX_TURN_CHARS, MAX_TURNS, MAX_WORDS, chosen_words, needed_words, resolve_pair, user_turns


@pytest.fixture(scope="module")
def head() -> Head:
    """The one that comes with Strata."""
    found = Heads(EncoderSettings(engine="torch", precision="float32"), HeadSettings()).get("resolve")
    assert found is not None
    return found


def test_the_newest_turn_is_read_first_and_its_content_words_are_spans() -> None:
    pair = resolve_pair("How tall is it?", ["Who built the\nMillau viaduct?", "And its length?"])
    assert pair.second == "And its length? | Who built the Millau viaduct?"
    assert [pair.second[start:end] for start, end in pair.spans] == ["length", "built", "Millau", "viaduct"]


def test_only_what_the_user_said_is_read_and_not_without_bound() -> None:
    history = (Turn(role="user", text="One?"), Turn(role="assistant", text="Two."), Turn(role="user", text="  "))
    assert user_turns(history) == ["One?"]
    long = resolve_pair("Why?", [f"turn{n} " + "word " * 1000 for n in range(50)]).second
    assert len(long) <= MAX_TURNS * (MAX_TURN_CHARS + 3)
    assert long.startswith("turn49")


def test_words_are_chosen_once_by_their_highest_probability_and_said_in_order() -> None:
    pair = resolve_pair("How long is it?", ["Describe the Millau viaduct", "Is the viaduct long?"])
    assert [pair.second[start:end] for start, end in pair.spans] == ["viaduct", "long", "Describe", "Millau", "viaduct"]
    assert chosen_words("How long is it?", pair, [0.2, 0.9, 0.1, 0.6, 0.8], 0.5) == ("Millau", "viaduct")
    assert chosen_words("How long is it?", pair, [0.2, 0.9, 0.1, 0.4, 0.4], 0.5) == ()
    many = resolve_pair("q", [" ".join(f"w{n}" for n in range(99))])
    assert len(chosen_words("q", many, [0.9] * len(many.spans), 0.5)) == MAX_WORDS


@pytest.mark.parametrize(
    ("turns", "question", "needed", "foreign"),
    [
        (["What is throat cancer?", "Is it treatable?"], "What are its symptoms?", {"throat", "cancer"}, {"treatable"}),
        (
            ["How tall is the Eiffel Tower?", "Who designed it?"],
            "When was it built?",
            {"eiffel", "tower"},
            {"tall", "designed"},
        ),
        (["Where do guinea pigs live?", "What do they eat?"], "vitamin C", {"guinea", "pigs"}, {"live", "eat"}),
        (["Tell me about the Tesla Model 3."], "What is the range of the battery?", {"tesla"}, set()),
        (["How do I open a brokerage account?"], "What about a savings account?", {"open"}, set()),
    ],
)
def test_what_a_question_leaves_out_is_found(
    head: Head, turns: list[str], question: str, needed: set[str], foreign: set[str]
) -> None:
    words = {word.casefold() for word in needed_words(head, question, turns).words}
    assert needed <= words
    assert not words & foreign


@pytest.mark.parametrize(
    ("turns", "question"),
    [
        (["Who wrote Hamlet?"], "How do I reset the password of my router at home?"),
        (["What is the Millau viaduct?"], "How do you bake sourdough bread at home?"),
    ],
)
def test_a_question_about_something_else_gets_nothing(head: Head, turns: list[str], question: str) -> None:
    assert needed_words(head, question, turns).words == ()


def test_without_words_nothing_is_read(head: Head) -> None:
    needed = needed_words(head, "Why?", ["...", "and you?"])
    assert (needed.words, needed.usage.calls) == ((), 0)
