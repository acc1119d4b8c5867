"""Questions made from text, and the groups they are ranked in."""

import random

import pytest

from services.evaluation.data.rows import CorpusDocument
from services.training.evidence.made_questions import WAYS, asked_there, made_questions, plain
from services.training.evidence.multihop import comparison_questions, kind_of, two_paragraph_questions
from services.training.evidence.near_miss import MAX_WORDS, Asked, cut, near_miss_group
from services.training.texts import Text


def text(id_: str, title: str, *sentences: str) -> Text:
    return Text.of_document(CorpusDocument(id=id_, title=title, text=" ".join(sentences), sentences=sentences))


DONATI = text(
    "donati",
    "Danilo Donati",
    "Danilo Donati was an Italian costume designer.",
    "He won the Academy Award for Costume Design for his work in Romeo and Juliet in Hollywood.",
)
ROMEO = text("romeo", "Romeo and Juliet", "Romeo and Juliet is a 1968 romance film based on the play of that name.")
BRIDGE = text("bridge", "Millau Viaduct", "The Millau Viaduct is a bridge in France.", "It was opened in 2004.")
TOWER = text("tower", "Old Bridge", "The Old Bridge is a bridge in Mostar.", "Mostar lies in a valley.")


def test_sentences_are_the_corpus_s_own_or_are_found() -> None:
    assert DONATI.sentences[1].startswith("He won")
    found = Text.of_document(CorpusDocument(id="x", text="  One is here.  Two is there. "))
    assert found.sentences == ("One is here.", "Two is there.")
    odd = CorpusDocument(id="x", text="One is here.", sentences=("Not in the text.",))
    assert Text.of_document(odd).sentences == ("One is here.",)
    assert Text.of_document(CorpusDocument(id="x", text="")).spans == ()


def test_a_part_keeps_its_sentences_word_for_word() -> None:
    part = DONATI.part(1, 2)
    assert part.sentences == (DONATI.sentences[1],)
    assert part.text == DONATI.sentences[1]


def test_the_answer_is_left_out_of_the_question() -> None:
    dated = text(
        "d", "Luna 2", "The Soviet Union launched the probe Luna 2 from Baikonur in September 1959 with success."
    )
    made = [
        next(made_questions([dated], "made/x", random.Random(seed), (way,)))
        for seed in range(5)
        for way in WAYS
        if way.__name__ == "_when"
    ]
    assert made
    for asked in made:
        assert "1959" not in asked.question
        assert asked.question.casefold().startswith(("when", "what year"))
        assert asked.answers == ("1959",)
        assert (asked.gold, asked.good) == (dated, (0,))


@pytest.mark.parametrize(
    ("sentence", "within"),
    [
        ("To create a free cluster, open the console and choose a region.", "create a free cluster"),
        ("If you want to delete an instance, stop it before you begin to.", "delete an instance"),
        ("Here you can change the password of your account at any time.", "change the password of my account"),
    ],
)
def test_instructions_become_questions_of_those_who_need_them(sentence: str, within: str) -> None:
    how_to = next(way for way in WAYS if way.__name__ == "_how_to")
    asked = next(made_questions([text("h", "Help", sentence)], "made/x", random.Random(1), (how_to,)))
    assert within in asked.question.casefold()


def test_a_question_in_a_text_is_asked_of_what_follows_it() -> None:
    page = text("f", "FAQ", "How do I upgrade my account today?", "Go to your settings.", "Choose a plan there.")
    asked = next(made_questions([page], "asked/x", random.Random(1), (asked_there,)))
    assert asked.question == "How do I upgrade my account today?"
    assert asked.gold.sentences == ("Go to your settings.", "Choose a plan there.")
    assert asked.good is None
    alone = text("f", "FAQ", "Go to your settings.", "Choose a plan there.", "How do I upgrade my account today?")
    assert list(made_questions([alone], "asked/x", random.Random(1), (asked_there,))) == []


def test_hostile_and_empty_texts_make_nothing_or_a_question() -> None:
    odd = [text("a", "", "?" * 400), text("b", "\x00", "x " * 2000), Text("c", "", "", ())]
    for asked in made_questions(odd, "made/x", random.Random(1)):
        assert asked.question.strip()
    assert plain("**See** [the docs](https://a.b) `` now '' .") == "See the docs now."


def test_two_paragraphs_are_joined_where_one_names_the_other() -> None:
    texts = {each.id: each for each in (DONATI, ROMEO, BRIDGE)}
    made = [asked for seed in range(20) for asked in two_paragraph_questions(texts, random.Random(seed))]
    assert made
    for asked in made:
        assert asked.gold is DONATI
        assert asked.good == (1,)
        assert [other for other, _ in asked.more_gold] == [ROMEO]
        assert "Romeo and Juliet" not in asked.question, "the bridge is described, not named"
        assert "romance film" in asked.question


def test_things_of_one_kind_are_compared() -> None:
    assert kind_of(BRIDGE) == kind_of(TOWER) == "bridge"
    assert kind_of(text("n", "Nothing", "Nothing to see here at all.")) is None
    (asked,) = comparison_questions([BRIDGE, TOWER, ROMEO], random.Random(3))
    assert {asked.gold.id, asked.more_gold[0][0].id} == {"bridge", "tower"}


def test_a_group_has_no_near_miss_that_may_answer() -> None:
    asked = Asked("when was it opened", BRIDGE, (1,), "made/x", answers=("2004",))
    holds = text("h", "Viaduct", "The viaduct of Millau has been open since 2004.")
    same = text("bridge", "Millau Viaduct", "It was opened in 2004.")
    group = list(near_miss_group(asked, [same, holds, TOWER], "g", misses=5, chance=random.Random(1)))
    assert [(each.context, each.label) for each in group] == [("Millau Viaduct", 1.0), ("Old Bridge", 0.0)]
    assert [each.span_labels for each in group] == [(0.0, 1.0), (0.0, 0.0)]
    assert {each.group for each in group} == {"g"}


def test_long_passages_are_cut_around_the_answer() -> None:
    long = text("l", "Long", *(f"Sentence number {n} has exactly eight words here." for n in range(80)))
    for at in (0, 40, 79):
        kept, first = cut(long, "anything", (at,))
        assert sum(len(each.split()) for each in kept.sentences) <= MAX_WORDS
        assert long.sentences[at] in kept.sentences
        assert kept.sentences[0] == long.sentences[first]
    assert cut(BRIDGE, "anything", None) == (BRIDGE, 0)
