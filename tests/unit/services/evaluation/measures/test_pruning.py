import numpy as np
import pytest

from services.evaluation.measures.pruning import BASELINES, SAME_TOKENS, STAGE, TOKENS, at_share, keep, measure_pruning
from tests.unit.services.evaluation.conftest import MakeContext

TOWER = [
    "Gustave Eiffel's company built it.",
    "The Eiffel Tower was completed in 1889.",
    "Cooks in many lands fry eggs in butter every day of the year.",
]
RIVER = ["The Seine flows to the sea.", "It is long.", "Ships sail on it from spring until late in autumn each year."]
SET = {
    "shared/corpus": [
        {"id": "tower", "title": "Eiffel Tower", "text": " ".join(TOWER), "sentences": TOWER},
        {"id": "river", "title": "Seine", "text": " ".join(RIVER), "sentences": RIVER},
    ],
    "dev/queries": [
        {
            "id": "q",
            "question": "When was the Eiffel Tower completed?",
            "gold": [{"doc_id": "tower", "sent_ids": [1]}],
            "candidates": ["river", "tower"],
        },
        {"id": "whole", "question": "?", "gold": [{"doc_id": "river"}], "candidates": ["river"]},
    ],
}


@pytest.mark.parametrize(
    ("room", "expected"), [(0, []), (4, []), (5, [2]), (8, [2, 0]), (9, [2, 0, 1]), (100, [2, 0, 1, 3])]
)
def test_sentences_are_kept_best_first_up_to_the_first_that_does_not_fit(room: int, expected: list[int]) -> None:
    assert keep(np.array([0.5, 0.5, 0.9, 0.1]), [3, 1, 5, 10], room) == expected


def test_what_does_not_fit_ends_the_list() -> None:
    assert keep(np.array([0.9, 0.5]), [10, 1], 5) == []


async def test_the_curve_of_a_question_with_one_gold_sentence(make_context: MakeContext) -> None:
    result = await measure_pruning(make_context("multihop_wiki", SET, prune={"min_tokens": 0}))
    # 43 words, of which the gold sentence is 7 and the first sentences 5 and 6
    curves = {
        system: [result.figure(system, at_share(share)).value for share in (0.1, 0.2, 0.3, 0.5)]
        for system in (*BASELINES, STAGE)
    }
    assert curves["lead"] == [0, 0, 0, 1]
    for system in ("BM25", "cosine", "BM25 + cosine", STAGE):
        assert curves[system] == [0, 1, 1, 1], system
    assert result.figure(STAGE, SAME_TOKENS).value == 1
    assert 7 / 43 <= (result.figure(STAGE, TOKENS).value or 0) < 1
    assert result.figure(STAGE, "p50 ms").value
    paired = result.figure("lead", at_share(0.2)).paired
    assert paired is not None
    assert (paired.difference, paired.losses) == (-1, 1)
    assert result.notes == ("1 questions without gold sentences were left out.",)
    assert {series.name for series in result.plots[0].series} == {*BASELINES, STAGE}


async def test_a_question_that_comes_with_one_passage_is_given_distractors(make_context: MakeContext) -> None:
    [tower, river] = SET["shared/corpus"]
    query = {**SET["dev/queries"][0], "candidates": [], "passage": "tower", "type": "answerable"}
    result = await measure_pruning(make_context("clapnq", {"shared/corpus": [tower, river], "dev/queries": [query]}))
    assert result.figure("BM25", at_share(0.2)).value == 1
    assert result.figure("lead", at_share(0.2)).value == 0
