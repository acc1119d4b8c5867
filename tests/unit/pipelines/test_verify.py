"""What sources say of claims, as the head that comes with Strata reads them."""

import numpy as np
import pytest

from pipelines.core.encoders import Encoder, Heads
from pipelines.core.settings import EncoderSettings, HeadSettings
from pipelines.core.types import Usage
from pipelines.verify import FEATURES, NEAREST, READ, Check, Verdict, Verifier
from tests.support.hash_encoder import HashEncoder

SETTINGS = EncoderSettings(engine="torch", precision="float32", threads=1)
SOURCES = (
    "The Millau Viaduct is a cable-stayed bridge in the south of France.",
    "It was designed by the English architect Norman Foster and the engineer Michel Virlogeux.",
    "The bridge was opened to traffic on 16 December 2004.",
    "It has seven piers of concrete, the tallest of which is 343 metres high.",
    "The viaduct is not the longest bridge in the country.",
)


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    head = Heads(SETTINGS, HeadSettings()).get("support")
    assert head is not None
    return Verifier(head, Encoder(SETTINGS))


def verify(verifier: Verifier, *claims: str) -> list[Verdict]:
    checks = [Check(claim, SOURCES, ["Millau Viaduct"] * len(SOURCES)) for claim in claims]
    return verifier.verify(checks)[0]


@pytest.mark.parametrize(
    ("kind", "true", "false"),
    [
        ("name", "The bridge was designed by Norman Foster.", "The bridge was designed by Zaha Hadid."),
        ("name", "Michel Virlogeux was its engineer.", "Gustave Eiffel was its engineer."),
        ("number", "The bridge was opened on 16 December 2004.", "The bridge was opened on 16 December 2007."),
        ("number", "The bridge has seven piers.", "The bridge has nine piers."),
        ("negation", "It is not the longest bridge in the country.", "It is the longest bridge in the country."),
        ("negation", "The bridge was opened to traffic.", "The bridge was not opened to traffic."),
        ("order", "On 16 December, the bridge was opened to traffic.", "On 16 December, Foster opened a restaurant."),
        ("elsewhere", "A cable-stayed bridge, it stands in southern France.", "It stands in northern Spain."),
    ],
)
def test_what_is_stated_has_more_support_than_what_is_not(verifier: Verifier, kind: str, true: str, false: str) -> None:
    stated, other = verify(verifier, true, false)
    assert stated.support > other.support + 0.05, kind


def test_what_the_source_denies_is_told_from_what_it_does_not_mention(verifier: Verifier) -> None:
    denied, unsaid = (
        max(reading.contradicts for reading in verdict.readings)
        for verdict in verify(
            verifier,
            "The bridge was not opened to traffic on 16 December 2004.",
            "Its lights are switched off in the small hours.",
        )
    )
    assert denied > 0.5 > unsaid


def test_the_sentence_that_states_a_claim_is_the_likeliest(verifier: Verifier) -> None:
    for claim, place in (("Norman Foster was the architect.", 1), ("The tallest pier is 343 metres high.", 3)):
        (verdict,) = verify(verifier, claim)
        alone = [reading for reading in verdict.readings if len(reading.places) == 1]
        assert alone[0].places == (place,)
        assert len(alone) == READ
        assert [reading.support for reading in verdict.readings] == sorted(
            (reading.support for reading in verdict.readings), reverse=True
        )


def test_few_sentences_are_read_and_what_was_cited_is_among_them(verifier: Verifier) -> None:
    many = [f"Sentence {n} says that pier {n} was cast in week {n}." for n in range(300)]
    encoder = HashEncoder()
    (verdict,), usage = Verifier(verifier._head, encoder).verify(  # type: ignore[arg-type]
        [Check("Pier 7 was cast in week 7.", [*many, "Unrelated."], read=[300])]
    )
    assert {(7,), (300,)} <= {reading.places for reading in verdict.readings}
    assert len(verdict.readings) <= READ + 2
    assert len(encoder.texts) <= NEAREST + 2
    assert usage.calls == 2
    assert all(len(reading.features) == len(FEATURES) for reading in verdict.readings)


@pytest.mark.parametrize("claim", ["", "👍", "[1]", "word " * 3000])
def test_any_claim_and_any_source_can_be_read(verifier: Verifier, claim: str) -> None:
    (verdict,), _ = verifier.verify([Check(claim, ["", "Something.", "long " * 3000])])
    assert 0 <= verdict.support <= 1
    assert np.isfinite([reading.features for reading in verdict.readings]).all()


def test_without_claims_or_sources_nothing_is_read(verifier: Verifier) -> None:
    assert verifier.verify([]) == ([], Usage())
    verdicts, usage = verifier.verify([Check("A claim.", [])])
    assert (verdicts, usage) == ([Verdict()], Usage())
    assert verdicts[0].support == 0.0
