"""Evidence with its answer and without."""

import random

from pipelines.core.text import fold
from services.evaluation.data.rows import CorpusDocument
from services.training.evidence.lexical import Lexical
from services.training.evidence.near_miss import Asked
from services.training.sufficiency.data import EvidenceMaker
from services.training.texts import Text


def text(name: str, content: str) -> Text:
    return Text.of_document(CorpusDocument(id=name, title=name, text=content))


VIADUCT = text(
    "Millau Viaduct",
    "The Millau Viaduct is a bridge near Millau in France. Norman Foster designed the viaduct. "
    "The viaduct was opened in December 2004.",
)
TARN = text("Tarn", "The Tarn is a river in France. The Millau viaduct spans the river Tarn.")
FOSTER = text("Norman Foster", "Norman Foster is an architect. He was born in Stockport.")
OTHER = text("Soup", "Soup is a liquid food. It is served warm.")
CORPUS = [VIADUCT, TARN, FOSTER, OTHER]
OPENED = Asked("when was the millau viaduct opened", VIADUCT, (2,), "nq_gold", ("December 2004",))


def test_words_find_the_texts_that_share_the_rare_ones() -> None:
    index = Lexical(CORPUS)
    assert [found.id for found in index.find("who designed the viaduct of Millau", 2)] == ["Millau Viaduct", "Tarn"]
    assert index.find("quantum", 3) == []
    weights = index.weights("quantum viaduct")
    assert weights["quantum"] > weights["viaduct"] > 0


def test_the_answer_is_in_sufficient_evidence_alone() -> None:
    made = list(EvidenceMaker(CORPUS, random.Random(2)).examples(OPENED, "g"))
    assert [example.label for example in made] == [1.0, 0.0, 0.0]
    assert {example.group for example in made} == {"g"}
    for example in made:
        assert (fold("December 2004") in fold(example.second)) is bool(example.label)
    without_passage, without_sentence = made[1:]
    assert "Millau Viaduct:" not in without_passage.second
    assert "Millau Viaduct:" in without_sentence.second


def test_of_two_hops_one_is_not_enough() -> None:
    asked = Asked("where was the designer of the millau viaduct born", VIADUCT, (1,), "h", more_gold=((FOSTER, (1,)),))
    whole, half = EvidenceMaker(CORPUS, random.Random(4)).examples(asked, "g")
    assert (whole.label, half.label) == (1.0, 0.0)
    assert "designed" in whole.second
    assert "Stockport" in whole.second
    assert ("Norman Foster designed" in half.second) + ("Stockport" in half.second) < 2
