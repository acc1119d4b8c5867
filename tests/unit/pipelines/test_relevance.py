"""How well sentences answer a question."""

import numpy as np
import pytest

from pipelines.relevance import ENCODED, Relevance, coverage, list_candidates, term_weights, type_match
from tests.support.evidence import hits, passage

FOUND = hits(
    passage("The Millau viaduct is a bridge in France.", "It was opened in 2004 by Jacques Chirac.", "Contents:"),
    passage("Tunnels are dug through rock.", "Some are long.", document="tunnels", title="Tunnels"),
)


def scores(question: str) -> np.ndarray:
    candidates = list_candidates(FOUND)
    relevance = Relevance(question, candidates)
    return relevance.scores(dict.fromkeys(relevance.to_encode(), 0.5))


def test_candidates_come_in_order_and_carry_where_they_stand() -> None:
    candidates = list_candidates(FOUND)
    assert [(each.rank, each.index) for each in candidates] == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
    assert candidates[3].text == "Tunnels: Tunnels are dug through rock."
    assert list_candidates(()) == []


def test_scores_lie_between_zero_and_one_and_prefer_the_question_s_words() -> None:
    found = scores("When was the Millau viaduct opened?")
    assert found.shape == (5,)
    assert ((found >= 0) & (found <= 1)).all()
    assert {int(at) for at in np.argsort(-found)[:2]} == {0, 1}
    assert found[2] < found[1], "a label says nothing"


def test_what_is_not_embedded_follows_what_is() -> None:
    candidates = list_candidates(hits(*(passage(f"Fact number {n} about bridges.", start=n) for n in range(40))))
    relevance = Relevance("facts about bridges", candidates)
    encode = relevance.to_encode()
    assert len(encode) == len(set(encode)) == ENCODED
    found = relevance.scores(dict.fromkeys(encode, 0.1))
    assert min(found[encode]) >= max(found[[at for at in range(40) if at not in set(encode)]])


def test_a_negative_cosine_and_a_question_without_words() -> None:
    candidates = list_candidates(FOUND)
    for question in ("", "?", "the of"):
        relevance = Relevance(question, candidates)
        found = relevance.scores(dict.fromkeys(relevance.to_encode(), -1.0))
        assert np.isfinite(found).all()
        assert (found >= 0).all()
    assert Relevance("q", []).scores({}).shape == (0,)


def test_rare_terms_weigh_more_and_all_weigh_something() -> None:
    weights = term_weights({"bridge", "millau", "absent"}, [{"bridge"}, {"bridge"}, {"bridge", "millau"}])
    assert weights["absent"] > weights["millau"] > weights["bridge"] > 0


def test_coverage_is_a_share() -> None:
    assert coverage({"a": 1.0, "b": 3.0}, ["b", "c"]) == 0.75
    assert coverage({}, ["b"]) == 0.0


@pytest.mark.parametrize(
    ("question", "sentence", "match"),
    [
        ("When was it built?", "It was built in 1998.", 1.0),
        ("When was it built?", "It opened in May.", 1.0),
        ("When was it built?", "It was built quickly.", 0.0),
        ("How many people live there?", "Three million people do.", 1.0),
        ("How many people live there?", "People do.", 0.0),
        ("Who built the Eiffel tower?", "The engineer was Gustave.", 1.0),
        ("Who built the Eiffel tower?", "The Eiffel tower was built.", 0.0),
        ("Why is it tall?", "Because.", 0.5),
    ],
)
def test_the_kind_of_answer(question: str, sentence: str, match: float) -> None:
    assert type_match(question, sentence) == match
