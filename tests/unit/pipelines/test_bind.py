"""The cite stage with the head that comes with Strata."""

import pytest

from pipelines.cite import EncoderCiter
from pipelines.core.encoders import Encoder, Heads
from pipelines.core.settings import CiteSettings, EncoderSettings, HeadSettings
from pipelines.core.tasks import CiteResult, CiteTask
from pipelines.core.types import Draft, Usage
from tests.support.evidence import evidence, passage

SETTINGS = EncoderSettings(engine="torch", precision="float32", threads=1)
FOUND = evidence(
    passage(
        "The Millau viaduct was opened to traffic in December 2004.",
        "It has seven piers of concrete, and the tallest is 343 metres high.",
        document="a",
    ),
    passage("The Millau viaduct was designed by Norman Foster with Michel Virlogeux.", document="b", start=500),
    passage("Bananas are grown in more than a hundred countries.", document="c", start=900),
)


@pytest.fixture(scope="module")
def heads() -> Heads:
    return Heads(SETTINGS, HeadSettings())


@pytest.fixture(scope="module")
def citer(heads: Heads) -> EncoderCiter:
    encoder = Encoder(SETTINGS)
    encoder.warm_up()
    assert heads.get("support")
    return EncoderCiter(encoder, CiteSettings(timeout_s=60.0), heads)


async def cite(citer: EncoderCiter, text: str) -> CiteResult:
    return await citer(CiteTask(question="q", draft=Draft(text=text), evidence=FOUND, timeout_s=60.0))


@pytest.mark.parametrize(
    ("claim", "document"),
    [
        ("In December 2004 the Millau viaduct was opened to traffic [1].", "a"),
        ("Norman Foster designed the Millau viaduct with Michel Virlogeux [2].", "b"),
        ("Bananas are grown in over a hundred countries [3].", "c"),
    ],
)
async def test_what_a_source_states_in_other_words_keeps_its_citation(
    citer: EncoderCiter, claim: str, document: str
) -> None:
    result = await cite(citer, claim)
    assert [citation.document_id for citation in result.citations] == [document]
    assert result.unsupported == ()
    assert result.receipt.model.startswith("encoder/support@")
    assert result.receipt.usage.calls == 2


@pytest.mark.parametrize(
    "claim",
    [
        "In December 2007 the Millau viaduct was opened to traffic [1].",
        "The viaduct has nine piers of concrete, and the tallest is 512 metres high [1].",
        "The Millau viaduct was designed by Gustave Eiffel with Maurice Koechlin [2].",
        "Oranges ripen slowly in the cellars of old castles [3].",
    ],
)
async def test_what_no_source_states_is_not_cited_and_is_marked(citer: EncoderCiter, claim: str) -> None:
    result = await cite(citer, claim)
    assert result.citations == ()
    assert len(result.unsupported) == 1


async def test_a_wrong_marker_leads_to_the_sentence_that_states_the_claim(citer: EncoderCiter) -> None:
    result = await cite(citer, "Norman Foster designed the Millau viaduct with Michel Virlogeux [3].")
    assert [citation.document_id for citation in result.citations] == ["b"]


async def test_a_quote_is_not_read(citer: EncoderCiter) -> None:
    result = await cite(citer, "The Millau viaduct was opened to traffic in December 2004. [2]")
    assert [(citation.document_id, citation.support) for citation in result.citations] == [("a", 1.0)]
    assert result.receipt.usage == Usage()


async def test_all_claims_are_read_in_one_call(citer: EncoderCiter) -> None:
    claims = [f"Pier {n} of the viaduct was built by many hands [1]." for n in range(12)]
    result = await cite(citer, " ".join(claims))
    assert result.receipt.usage.calls == 2, "one of the encoder, one of the head"


async def test_without_the_head_words_and_cosine_decide() -> None:
    off = EncoderCiter(Encoder(SETTINGS), CiteSettings(), Heads(SETTINGS, HeadSettings(support="off")))
    result = await cite(off, "In December 2004 the Millau viaduct was opened to traffic [1].")
    assert result.receipt.model == off._encoder.name
    assert [citation.document_id for citation in result.citations] == ["a"]
