"""What words, names, numbers and cosines tell of a claim before any source is read."""

import numpy as np
import pytest

from pipelines.claims import CLAIM_FEATURES, MOST_NAMES, NEAR, PAGE, claim_features

TOWER = ("The tower was designed by Stephen Sauvestre.", "It was completed in 1889.")


def told(claim: str, sources: tuple[str, ...] = TOWER, context: str = "", cosine: float = 0.5) -> dict[str, float]:
    cosines = np.full(len(sources), cosine, np.float32)
    row = claim_features(claim, sources, [context] * len(sources), cosines)
    assert np.isfinite(row).all()
    return dict(zip(CLAIM_FEATURES, row.tolist(), strict=True))


@pytest.mark.parametrize(
    ("claim", "context", "missing"),
    [
        ("The tower is by Sauvestre.", "", 0),
        ("The tower is by Gustave Eiffel.", "", 2),
        ("The Eiffel tower is by Sauvestre.", "Eiffel Tower", 0),
        ("Nobody but me, I, saw it.", "", 0),
        ("It is by Ann Bell, Cy Dow and Ed Fay.", "", MOST_NAMES),
    ],
)
def test_names_that_stand_in_no_source_and_in_no_title_are_counted(claim: str, context: str, missing: int) -> None:
    assert told(claim, context=context)["missing_names"] == missing


def test_numbers_may_stand_in_any_of_the_sources() -> None:
    assert told("Sauvestre designed the tower that was completed in 1889.")["stated_numbers"] == 1
    assert told("Sauvestre designed the tower that was completed in 1899.")["stated_numbers"] == 0


def test_what_two_sentences_of_a_page_have_together_counts_and_of_less_than_a_page_the_length() -> None:
    page = (*TOWER, "Rain fell.", *["Nothing of the sort."] * PAGE)
    both, third = "Sauvestre's tower was completed in 1889.", "Sauvestre's tower was completed in 1889 in the rain."
    assert told(both, page)["together"] == pytest.approx(1)
    assert told(third, page)["together"] == pytest.approx(4 / 5)
    assert (told(both, page)["page"], told(both, page)["length"]) == (1, 0)
    assert (told(both)["page"], told(both)["together"]) == (0, 0)
    assert told(third)["length"] > told(both)["length"] > 0


def test_the_nearest_sentences_of_the_nearest_text_count() -> None:
    cosines = np.array([0.9, *[0.5] * NEAR, 0.8, -2.0], np.float32)
    sources = [f"Sentence {n}." for n in range(len(cosines))]
    texts = [1] * (NEAR + 1) + [2, 2]
    at = CLAIM_FEATURES.index("near")
    assert claim_features("A claim.", sources, [], cosines, texts)[at] == pytest.approx((0.9 + 0.5 * (NEAR - 1)) / NEAR)
    assert claim_features("A claim.", sources[-2:], [], cosines[-2:], texts[-2:])[at] == pytest.approx(0.4)
    assert told("A claim.", cosine=-2.0)["near"] == 0


@pytest.mark.parametrize("claim", ["", "👍", "[1]", "Word " * 3000])
@pytest.mark.parametrize("sources", [(), ("",), ("long " * 3000,)])
def test_any_claim_and_any_sources_have_finite_features(claim: str, sources: tuple[str, ...]) -> None:
    assert 0 <= told(claim, sources)["missing_names"] <= MOST_NAMES
