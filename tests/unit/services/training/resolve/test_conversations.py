"""Conversations that are made."""

import random

import pytest

from pipelines.core.text import terms
from services.training.resolve.conversations import (
    MADE,
    Asked,
    Conversations,
    Topic,
    find_thing,
    labelled,
    leaning,
    swapped,
)

QUESTION = "How do I resize the block storage volume?"
ABOUT = Asked(QUESTION, (QUESTION.index("block"), QUESTION.index("volume") + len("volume")))


def topic(name: str, *questions: str) -> Topic:
    found = [find_thing(question, random.Random(3)) for question in questions]
    return Topic(name, tuple(each for each in found if each))


TOPICS = [
    topic("storage", QUESTION, "How do I delete the block storage volume?", "Can I encrypt the file share at rest?"),
    topic("finance", "What is the tax on capital gains in Ohio?", "When is the best time to sell growth stocks?"),
]


@pytest.mark.parametrize("seed", range(30))
def test_a_question_that_leans_names_its_thing_no_more_but_keeps_the_rest(seed: int) -> None:
    said = leaning(ABOUT, random.Random(seed))
    assert said != QUESTION
    assert not terms("block storage") & terms(said)
    assert "resiz" in terms(said)


def test_what_a_title_names_is_the_thing() -> None:
    found = find_thing("who composed the hundredth psalm in the old book", random.Random(1), "Psalm 100")
    assert found is not None
    assert found.name == "psalm"
    assert find_thing("who is she", random.Random(1), "Psalm 100") is None
    assert find_thing("What is Kubernetes?", random.Random(1)) is None  # nothing would be left to ask


def test_words_of_the_rewrite_that_the_question_lacks_are_needed() -> None:
    example = labelled(
        "How tall is it?",
        ["Who built the Millau viaduct?"],
        terms("How tall is the Millau viaduct?"),
        group="g",
        source="s",
    )
    assert example is not None
    named = [example.second[start:end] for start, end in example.spans]
    assert dict(zip(named, example.span_labels or (), strict=True)) == {"built": 0.0, "Millau": 1.0, "viaduct": 1.0}
    assert labelled("Why?", ["and you?"], frozenset(), group="g", source="s") is None


def test_examples_have_both_kinds_and_come_out_the_same() -> None:
    made = list(Conversations(TOPICS, 5).examples(40))
    assert made == list(Conversations(TOPICS, 5).examples(40))
    needed = [sum(example.span_labels or ()) > 0 for example in made]
    assert 0.3 < sum(needed) / len(needed) < 0.9
    assert {example.source for example in made} == {MADE}
    for example in made:
        wanted = {
            example.second[start:end]
            for (start, end), label in zip(example.spans, example.span_labels or (), strict=True)
            if label
        }
        assert not {term for word in wanted for term in terms(word)} & terms(example.first)


def test_the_same_asked_of_something_else_is_short() -> None:
    assert "NVMe disks" in swapped(ABOUT, "NVMe disks", random.Random(2))
