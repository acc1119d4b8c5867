"""Questions with their answer in the corpus and without."""

import random
from typing import Any

from services.evaluation.data.rows import CorpusDocument
from services.training.evidence.near_miss import Asked
from services.training.sufficiency.cases import Finder, cases_of, without_answer
from services.training.texts import Text
from tests.support.hash_encoder import HashEncoder


def text(name: str, content: str) -> Text:
    return Text.of_document(CorpusDocument(id=name, title=name.partition("#")[0], text=content))


VIADUCT = text("Millau Viaduct#1", "Norman Foster designed the viaduct. The viaduct was opened in December 2004.")
ROAD = text("Millau Viaduct#2", "The Millau viaduct carries a road.")
TARN = text("Tarn", "The Tarn is a river in France. The Millau viaduct spans the river Tarn.")
FOSTER = text("Norman Foster", "Norman Foster is an architect. He was born in Stockport.")
NEWS = text("News", "In December 2004 the viaduct was opened.")
CORPUS = [VIADUCT, ROAD, TARN, FOSTER, NEWS]
OPENED = Asked("when was the millau viaduct opened", VIADUCT, (1,), "nq_gold", ("December 2004",))
ENCODER: Any = HashEncoder()


def test_without_its_answer_a_question_finds_what_a_corpus_without_it_would_give() -> None:
    present, removed = cases_of(OPENED, Finder(CORPUS, ENCODER), random.Random(1))
    assert (present.answerable, removed.answerable) == (True, False)
    assert VIADUCT.id in {hit.passage.id for hit in present.hits}
    never = Finder([TARN, FOSTER], ENCODER).find(OPENED.question)
    assert [(hit.passage.id, hit.score) for hit in removed.hits] == [(hit.passage.id, hit.score) for hit in never]


def test_of_two_passages_one_is_taken_away() -> None:
    asked = Asked("where was the designer of the viaduct born", VIADUCT, (0,), "h", more_gold=((FOSTER, (1,)),))
    _, removed = cases_of(asked, Finder(CORPUS, ENCODER), random.Random(1))
    left = {hit.passage.id for hit in removed.hits}
    assert (VIADUCT.id in left) + (FOSTER.id in left) == 1


def test_a_question_whose_answer_is_not_found_is_no_case() -> None:
    elsewhere = Asked("quantum zebras", text("Zebras", "Zebras are striped."), None, "x")
    assert list(cases_of(elsewhere, Finder(CORPUS, ENCODER), random.Random(1))) == []


def test_of_a_passage_without_its_answer_the_rest_is_found() -> None:
    cut = without_answer(OPENED)
    assert cut is not None
    assert (cut.context, cut.sentences) == ("Millau Viaduct", ("Norman Foster designed the viaduct.",))
    *_, near = cases_of(OPENED, Finder([*CORPUS, cut], ENCODER), random.Random(1))
    assert not near.answerable
    assert {hit.passage.id for hit in near.hits} == {cut.id, TARN.id, FOSTER.id}
    present, removed, _ = cases_of(OPENED, Finder([*CORPUS, cut], ENCODER), random.Random(1))
    assert cut.id not in {hit.passage.id for case in (present, removed) for hit in case.hits}


def test_a_passage_that_is_all_answer_is_not_cut() -> None:
    assert without_answer(Asked("when", NEWS, (0,), "x")) is None
    assert without_answer(Asked("when", NEWS, None, "x")) is None
