from services.evaluation.data.candidates import list_candidates
from services.evaluation.measures.relinking import (
    CAUGHT,
    CHANGED,
    GOOD,
    LOST,
    PASSAGE,
    STAGE,
    WRITTEN,
    make_claims,
    measure_relinking,
    reword,
)
from tests.unit.services.evaluation.conftest import MakeContext

TOWER = ["The Eiffel Tower was completed in 1889.", "It was named after Gustave Eiffel.", "It is not far from Paris."]
RIVER = ["The Seine flows to the sea.", "Ships sail on it."]
SET = {
    "shared/corpus": [
        {"id": "tower", "title": "Eiffel Tower", "text": " ".join(TOWER), "sentences": TOWER},
        {"id": "river", "title": "Seine", "text": " ".join(RIVER), "sentences": RIVER},
    ],
    "dev/queries": [
        {
            "id": f"q{number}",
            "question": "When was the Eiffel Tower completed?",
            "gold": [{"doc_id": "tower", "sent_ids": [0, 1, 2]}],
            "candidates": ["river", "tower"],
        }
        for number in range(8)
    ],
}


async def test_markers_as_written_catch_nothing_and_lose_nothing(make_context: MakeContext) -> None:
    context = make_context("multihop_wiki", SET)
    result = await measure_relinking(context)
    assert result.figure(WRITTEN, CAUGHT).value == 0
    assert result.figure(WRITTEN, LOST).value == 0
    assert (result.figure(STAGE, f"{CAUGHT}: {PASSAGE}").value or 0) == 1
    # what stands in its source word for word is never lost
    assert result.figure(STAGE, LOST, "word for word").value == 0
    assert len(result.items) == 24 * 4  # as written, by words, without and with the head


def test_claims_are_made_of_gold_sentences_by_seed(make_context: MakeContext) -> None:
    context = make_context("multihop_wiki", SET)
    questions = list_candidates(context, context.items())
    claims = [claim for question in questions for claim in make_claims(question, 7)]
    assert claims == [claim for question in questions for claim in make_claims(question, 7)]
    assert {claim.kind for claim in claims} == {GOOD, PASSAGE, *CHANGED}
    for claim in claims:
        cited = claim.evidence.items[claim.number - 1].passage.id
        assert cited == ("river" if claim.kind == PASSAGE else "tower")
        if claim.kind in (GOOD, PASSAGE) and not claim.reworded:
            assert claim.claim in TOWER
        else:
            assert claim.claim not in TOWER


def test_a_reworded_claim_says_the_same() -> None:
    assert reword("It was named (in 1890) after him.", "Eiffel Tower") == "Eiffel Tower was named after him."
    assert reword("The tower is old.", "Eiffel Tower") == "It is said that the tower is old."
    assert reword("Gustave built it.", "") == "It is said that Gustave built it."
