"""Claims made from text, and statements made from questions."""

from collections import Counter

import pytest

from pipelines.support import coverage
from services.training.examples import Example
from services.training.support.made import CONTRADICTS, NEITHER, SUPPORTS, Text, made_examples
from services.training.support.real import other_answer, supported_part
from services.training.support.statements import recase, state

BRIDGE = Text.cut(
    "Millau Viaduct",
    "The Millau Viaduct is a bridge near Millau in the south of France. It was designed by Norman Foster in 1996. "
    "It was opened to traffic in December 2004. The bridge stands on seven piers of concrete.",
)
RIVER = Text.cut(
    "Tarn", "The Tarn is a river in the south of France. It rises on Mont Lozère at 1,550 metres. It joins the Garonne."
)


def made(count: int = 60) -> list[Example]:
    return list(made_examples([BRIDGE, RIVER] * count, seed=5))


def test_every_kind_of_claim_is_made_and_a_text_is_one_group() -> None:
    kinds = Counter((example.source, example.label) for example in made())
    assert {("made/rephrased", SUPPORTS), ("made/changed", CONTRADICTS)} <= set(kinds)
    assert {("made/partial", NEITHER), ("made/near_miss", NEITHER)} <= set(kinds)
    assert {example.group for example in made()} == {"Millau Viaduct", "Tarn"}


def test_a_changed_claim_is_not_what_its_source_says() -> None:
    for example in made():
        if example.label == CONTRADICTS:
            assert example.first not in example.second
        if example.source == "made/rephrased":
            assert coverage(example.first, f"{example.second} Millau Viaduct Tarn") > 0.5
        if example.source in {"made/near_miss", "made/partial"}:
            assert coverage(example.first, example.second) < 1


def test_the_same_seed_makes_the_same() -> None:
    assert made(5) == made(5)
    assert list(made_examples([Text.cut("Empty", ""), Text.cut("", "No.")], seed=5)) == []


@pytest.mark.parametrize(
    ("question", "answer", "statement"),
    [
        ("who designed the millau viaduct", "Norman Foster", "Norman Foster designed the millau viaduct."),
        ("When was the bridge built?", "in 2004", "The bridge was built in 2004."),
        ("when did rome fall", "476", "Rome fall in 476."),
        ("where is the tibia located", "the leg", "The tibia is located the leg."),
        ("how many piers are there", "seven", "There are seven piers."),
        ("how many cantons does switzerland have", "26", "Switzerland have 26 cantons."),
        ("what is the capital of france", "Paris", "The capital of france is Paris."),
        ("why is the sky blue", "scattering", None),
    ],
)
def test_a_question_with_its_answer_is_a_statement(question: str, answer: str, statement: str | None) -> None:
    assert state(question, answer) == statement


def test_words_get_the_capitals_of_the_passage() -> None:
    said = recase("Norman Foster designed the millau viaduct.", "The viaduct near the town of Millau.")
    assert said == "Norman Foster designed the Millau viaduct."


def test_a_wrong_answer_is_of_the_same_kind() -> None:
    import random

    sentences = ["Norman Foster met Michel Virlogeux in 1996."]
    assert other_answer("Norman Foster", sentences, random.Random(1)) == "Michel Virlogeux"
    year = other_answer("1996", sentences, random.Random(1))
    assert year
    assert year.isdigit()
    assert year != "1996"
    assert other_answer("blue", sentences, random.Random(1)) is None


def test_the_supported_part_of_a_claim_is_one_that_reads_well() -> None:
    claim = 'Raza made "his" debut against Zimbabwe on 24 October 1996.'
    tokens = 'Raza made " his " debut against Zimbabwe on 24 October 1996 .'.split()
    unsupported = [False] * 8 + [True] * 4 + [False]
    assert supported_part(claim, tokens, unsupported) == 'Raza made "his" debut against Zimbabwe.'
    assert supported_part(claim, tokens, [True, *[False] * 12]) is None
    assert supported_part(claim, tokens, [False] * 13) is None
    old = "He has three older brothers ."
    assert supported_part("He has three older brothers.", old.split(), [False, False, True, True, False, False]) == (
        "He has brothers."
    )
    assert supported_part("Something else.", old.split(), [False, False, True, True, False, False]) is None
