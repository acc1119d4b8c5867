from typing import Any

import pytest

from services.evaluation.data.rows import GroundingRow
from services.evaluation.data.split import CLAIMS_HELD_OUT, is_held_out
from services.evaluation.measures.grounding import (
    ACCURACY,
    AUROC,
    BEST,
    HEAD,
    OVERLAP,
    SHIPPED,
    judged_of,
    measure_grounding,
)
from tests.unit.services.evaluation.conftest import MakeContext

SOURCE = "The Eiffel Tower was completed in 1889."


def claim(number: int, text: str, label: str, page: str = "Tower") -> dict[str, Any]:
    return {"id": str(number), "claim_or_response": text, "label": label, "gold_evidence": [SOURCE], "page": page}


ROWS = [
    claim(1, "The Eiffel Tower was completed in 1889.", "SUPPORTS"),
    claim(2, "In 1889 the Eiffel Tower was completed.", "SUPPORTS"),
    claim(3, "Cooks in many lands fry eggs in butter.", "REFUTES"),
    claim(4, "A fox is no dog.", "REFUTES"),
]


async def test_the_threshold_is_that_of_what_was_held_out_of_training(make_context: MakeContext) -> None:
    # In the training part the same score is on the other side: its threshold lets nothing of dev pass but the verbatim.
    false = "The Eiffel Tower was completed in 1999."
    assert is_held_out("fm2:Eiffel", CLAIMS_HELD_OUT)
    assert not is_held_out("fm2:Tower", CLAIMS_HELD_OUT)
    held_out = [claim(1, SOURCE, "SUPPORTS", "Eiffel"), claim(2, false, "REFUTES", "Eiffel")]
    trained = [*held_out, claim(3, "Nothing in common.", "SUPPORTS"), claim(4, SOURCE, "REFUTES")]
    part = claim(5, "The Eiffel Tower was completed in March 1889.", "SUPPORTS")
    result = await measure_grounding(make_context("fm2", {"dev/grounding": [*ROWS, part], "train/grounding": trained}))
    assert result.figure(OVERLAP, BEST).value == result.figure(OVERLAP, AUROC).value == 1
    assert result.figure(OVERLAP, ACCURACY).value == pytest.approx((2 / 3 + 1) / 2)  # 7 of 8 words are too few
    assert result.figure(HEAD, SHIPPED).value > 0.83  # of March the source says nothing
    assert "on the 2 claims of the training part" in result.notes[0]


async def test_without_a_training_part_each_half_has_the_others_threshold(make_context: MakeContext) -> None:
    result = await measure_grounding(make_context("fm2", {"dev/grounding": ROWS}))
    assert result.figure(OVERLAP, AUROC).value == 1
    assert result.figure(OVERLAP, ACCURACY).n == 4
    assert "the other half" in result.notes[0]


@pytest.mark.parametrize(
    ("row", "claims", "sentences", "supported"),
    [
        ({"label": "partially_supported", "context_sentences": ["One.", "Two."]}, ("A [1] claim.",), 2, False),
        ({"label": "Complete", "supported": True, "context": [{"text": "One. Two."}]}, ("A [1] claim.",), 2, True),
        ({"faithful_mean": 3.0, "context": [{"text": "One."}]}, ("A [1] claim.",), 1, False),
        ({"faithful_mean": 3.33, "context": [{"text": "One."}]}, ("A [1] claim.",), 1, True),
    ],
)
def test_lines_of_all_sets_have_one_form(
    row: dict[str, Any], claims: tuple[str, ...], sentences: int, supported: bool
) -> None:
    judged = judged_of(GroundingRow(id="a", claim_or_response="A [1] claim.", **row))
    assert len(judged.claims) == len(claims)
    assert "[1]" not in judged.claims[0] or "faithful_mean" in row
    assert (len(judged.sentences), judged.supported) == (sentences, supported)


def test_an_answer_is_judged_claim_by_claim() -> None:
    text = "The tower was completed in 1889. It stands in the city of Paris. Really?"
    judged = judged_of(GroundingRow(id="a", claim_or_response=text, faithful_mean=4.0, context=[{"text": SOURCE}]))
    assert judged.claims == ("The tower was completed in 1889.", "It stands in the city of Paris.")
