"""Fitting scored passages into the evidence budget."""

import pytest

from pipelines.core.settings import PruneSettings
from pipelines.core.text import estimate_tokens
from pipelines.core.types import Evidence, Passage
from pipelines.evidence import CHOSEN, ScoredHit, fit_evidence
from tests.support.evidence import hits, passage

BRIDGE = "The Millau viaduct spans the valley of the Tarn."
BACK = "It was opened to traffic in 2004."
OTHER = "Tickets are sold at the northern end."


def fit(*scored: tuple[Passage, tuple[float, ...]], relative: float = 0.35, **settings: float) -> Evidence:
    found = hits(*(each for each, _ in scored))
    candidates = [ScoredHit(hit, scores) for hit, (_, scores) in zip(found, scored, strict=True)]
    return fit_evidence(candidates, PruneSettings.model_validate({"min_tokens": 0} | settings), 0.9, relative=relative)


def kept(evidence: Evidence) -> list[tuple[int, ...]]:
    return [item.kept for item in evidence.items]


def reasons(evidence: Evidence) -> list[str]:
    return [fate.reason for fate in evidence.fates]


def test_the_sentence_that_another_points_back_to_comes_with_it() -> None:
    evidence = fit((passage(BRIDGE, BACK, OTHER), (0.1, 0.9, 0.1)))
    assert kept(evidence) == [(0, 1)]
    assert evidence.items[0].text == f"{BRIDGE} {BACK}"


@pytest.mark.parametrize(
    ("first", "second"), [(BRIDGE, OTHER), (BRIDGE, "Italy opened the tunnel in 2004."), (BRIDGE, "Itself a wonder.")]
)
def test_a_sentence_that_stands_alone_brings_no_neighbour(first: str, second: str) -> None:
    assert kept(fit((passage(first, second), (0.1, 0.9)))) == [(1,)]


def test_the_first_sentence_of_a_passage_has_nothing_before_it() -> None:
    assert kept(fit((passage(BACK, OTHER), (0.9, 0.1)))) == [(0,)]


def test_a_neighbour_of_a_neighbour_does_not_come() -> None:
    assert kept(fit((passage(BRIDGE, "It is tall.", BACK), (0.1, 0.1, 0.9)))) == [(1, 2)]


def test_sentences_that_score_low_are_kept_until_there_is_enough() -> None:
    sentences = [f"Pier {number} of the viaduct stands in the valley of the Tarn." for number in range(9)]
    scores = (0.9, *(0.1 - number / 1000 for number in range(7)), 0.0)
    tokens = estimate_tokens(sentences[0])
    assert kept(fit((passage(*sentences), scores))) == [(0,)]
    assert kept(fit((passage(*sentences), scores), min_tokens=3 * tokens)) == [(0, 1, 2)]
    assert kept(fit((passage(*sentences), scores), min_tokens=1000)) == [tuple(range(8))]  # 0 is: not read, not chosen


def test_a_neighbour_beyond_the_budget_or_said_elsewhere_stays_away() -> None:
    long = "A very long sentence about the viaduct and its piers. " * 8
    assert kept(fit((passage(long.strip(), BACK), (0.1, 0.9)), budget_tokens=50)) == [(1,)]
    elsewhere = passage(BRIDGE, document="b")
    assert kept(fit((passage(BRIDGE, BACK), (0.1, 0.9)), (elsewhere, (0.8,)))) == [(1,), (0,)]


def test_neighbours_count_towards_the_budget() -> None:
    settings = {"budget_tokens": 50}
    passages = [passage(BRIDGE.replace("Tarn", f"river {n}"), BACK, start=n * 500, document=f"d{n}") for n in range(4)]
    evidence = fit(*((each, (0.2, 0.9 - n / 100)) for n, each in enumerate(passages)), **settings)
    sent = sum(
        estimate_tokens(item.passage.context)
        + sum(estimate_tokens(item.passage.quote(item.passage.sentences[index])) for index in item.kept)
        for item in evidence.items
    )
    assert sent <= 50


def test_every_passage_left_out_has_its_reason() -> None:
    evidence = fit(
        (passage(BRIDGE, document="a"), (0.9,)),
        (passage(BRIDGE, document="b"), (0.8,)),
        (passage(OTHER, document="c"), (0.1,)),
        (passage("word " * 300, document="d"), (0.7,)),
        budget_tokens=60,
    )
    assert reasons(evidence) == ["", "repeats other evidence", "scored too low", "over the token budget"]
    assert [fate.score for fate in evidence.fates] == [0.9, None, None, None]


def test_more_passages_than_are_wanted() -> None:
    evidence = fit((passage(BRIDGE), (0.9,)), (passage(OTHER, document="b"), (0.8,)), max_passages=1)
    assert reasons(evidence) == ["", "enough better passages"]


def test_what_a_model_chose_is_kept_whatever_its_rank_and_nothing_else() -> None:
    first, last = (passage(BRIDGE, OTHER), (0.0, 1.0)), (passage("Norman Foster drew it.", OTHER + "!"), (0.05, 0.0))
    assert kept(fit(first, last, relative=CHOSEN)) == [(1,), (0,)]


def test_hits_that_were_no_candidates_are_told_and_counted() -> None:
    found = hits(passage(BRIDGE), passage(OTHER, document="b"))
    evidence = fit_evidence([ScoredHit(found[0], (1.0,))], PruneSettings(), 1.0, hits=found)
    assert reasons(evidence) == ["", "not chosen"]
    assert evidence.retrieved_tokens == sum(estimate_tokens(f"Title{hit.passage.text}") for hit in found)


def test_too_low_a_sufficiency_is_not_sufficient_and_nothing_is_neither() -> None:
    assert not fit((passage(BRIDGE), (0.9,)), min_sufficiency=0.95).sufficient
    assert fit((passage(BRIDGE), (0.9,)), min_sufficiency=0.9).sufficient
    assert not fit().sufficient
    assert not fit((passage(), ())).sufficient
