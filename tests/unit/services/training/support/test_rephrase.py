"""Rules that say a sentence otherwise."""

import random
from collections.abc import Callable

import pytest

from services.training.support.rephrase import (
    drop_aside,
    merge,
    move_lead,
    name_subject,
    one_clause,
    other_numbers,
    other_words,
    rephrase,
    short_name,
    tidy,
    turn_active,
    turn_passive,
)


def chance() -> random.Random:
    return random.Random(3)


@pytest.mark.parametrize(
    ("rule", "text", "said"),
    [
        (drop_aside, "Mull (Scottish Gaelic: Muile) is an island.", "Mull is an island."),
        (drop_aside, "The bridge, which Foster drew, spans the Tarn.", "The bridge spans the Tarn."),
        (drop_aside, "It was, however, built in 2004.", "It was built in 2004."),
        (move_lead, "In 2004, the bridge was opened to traffic.", "The bridge was opened to traffic in 2004."),
        (move_lead, "The bridge was opened to traffic in 2004.", "In 2004, the bridge was opened to traffic."),
        (move_lead, "On March 3, 2004, the bridge was opened.", None),
        (turn_passive, "The bridge was designed by Norman Foster.", "Norman Foster designed the bridge."),
        (turn_passive, "The novel was written by Willa Cather in 1915.", "Willa Cather wrote the novel."),
        (
            turn_active,
            "Norman Foster designed the bridge in 1996.",
            "The bridge was designed by Norman Foster in 1996.",
        ),
        (turn_active, "He walked over the bridge.", None),
        (other_numbers, "It took 1,500 men until 3 May 2004.", "It took 1500 men until May 3, 2004."),
        (other_words, "The film began badly.", "The movie started badly."),
        (other_words, "Nothing to see here.", None),
    ],
)
def test_a_rule_says_the_same_in_other_words(
    rule: Callable[[str, random.Random], str | None], text: str, said: str | None
) -> None:
    assert rule(text, chance()) == said


def test_one_of_several_clauses_stands_alone() -> None:
    text = "The bridge was designed by Norman Foster, and it was opened by the president."
    assert {one_clause(text, random.Random(seed)) for seed in range(9)} == {
        "The bridge was designed by Norman Foster.",
        "It was opened by the president.",
    }


def test_a_pronoun_is_what_the_document_is_about() -> None:
    assert name_subject("It was opened in 2004.", "Millau (viaduct)") == "Millau was opened in 2004."
    assert name_subject("They said so.", "") is None
    assert short_name("Norman Foster drew it.", "Norman Foster") == "Foster drew it."
    assert short_name("Norman Foster drew it.", "Millau viaduct") is None


def test_tokenised_text_is_tidied() -> None:
    assert tidy("``  Yes '' , he did n't go ( 1999 ) .") == '" Yes ", he didn\'t go (1999).'


def test_two_sentences_are_merged() -> None:
    assert merge("It is tall.", "The pylons are blue.", chance()) in {
        f"It is tall{word}the pylons are blue." for word in (", and ", "; ", ", while ")
    }


def test_the_same_seed_says_the_same_and_no_steps_change_nothing() -> None:
    text = "In 2004, the film was directed by Norman Foster (born 1935), and it began well."
    said = {rephrase(text, "A film", random.Random(seed), 3) for seed in range(20)}
    assert len(said) > 3
    assert rephrase(text, "A film", chance(), 3) == rephrase(text, "A film", chance(), 3)
    assert rephrase(text, "A film", chance(), 0) == text
