"""How far a source supports a claim."""

import numpy as np
import pytest

from pipelines.core.types import Usage
from pipelines.support import WRONG_NUMBER_FACTOR, support_scores
from tests.support.hash_encoder import HashEncoder

SOURCE = "The Millau viaduct, opened in 2004, is 336.4 metres tall."


def support(claim: str, *sources: str) -> list[float]:
    scores, _ = support_scores([claim], sources, HashEncoder())  # type: ignore[arg-type]
    assert scores.dtype == np.float32
    assert ((scores >= 0) & (scores <= 1 + 1e-6)).all()
    return [float(score) for score in scores[0]]


@pytest.mark.parametrize(
    "claim",
    [
        SOURCE,
        "opened in 2004",
        "THE MILLAU VIADUCT",
        "  is 336.4 metres tall  ",
        "**The Millau viaduct**, opened in 2004",
    ],
)
def test_what_stands_word_for_word_has_full_support_and_needs_no_vectors(claim: str) -> None:
    encoder = HashEncoder()
    scores, usage = support_scores([claim], ["Something else.", SOURCE], encoder)  # type: ignore[arg-type]
    assert scores.tolist() == [[0.0, 1.0]]
    assert (usage, encoder.texts) == (Usage(), [])


def test_reference_marks_of_a_source_do_not_hide_its_words() -> None:
    assert support("The viaduct is tall.", "The viaduct[12] is tall.[3]") == [1.0]


def test_part_of_a_word_is_not_word_for_word() -> None:
    assert support("opened in 200", SOURCE)[0] < 1.0


def test_another_number_cuts_the_support() -> None:
    right, wrong = support("In 2004 the viaduct at Millau opened", SOURCE, SOURCE.replace("2004", "2005"))
    assert wrong == pytest.approx(right * WRONG_NUMBER_FACTOR, rel=0.25)
    assert wrong < right / 2


def test_a_claim_without_numbers_is_not_cut() -> None:
    assert support("Tall is the viaduct of Millau", SOURCE)[0] > 0.4


def test_no_claims_or_no_sources() -> None:
    for claims, sources in (([], ["a"]), (["a"], []), ([], [])):
        scores, usage = support_scores(claims, sources, HashEncoder())  # type: ignore[arg-type]
        assert (scores.shape, usage) == ((len(claims), len(sources)), Usage())


@pytest.mark.parametrize("claim", ["", "...", "👍", "[1]"])
def test_a_claim_without_words_is_supported_by_nothing_word_for_word(claim: str) -> None:
    assert support(claim, SOURCE)[0] < 0.5
