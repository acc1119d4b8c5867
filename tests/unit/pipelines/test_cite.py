"""The cite stage."""

import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.cite import Citer, EncoderCiter, ModelCiter, list_sources, read_claims
from pipelines.core.errors import ModelUnavailableError
from pipelines.core.events import CitationEvent, Event
from pipelines.core.settings import CiteSettings
from pipelines.core.tasks import CiteResult, CiteTask, InlineRunner
from pipelines.core.types import MARKER, AnswerStatus, Draft, Evidence, Usage
from tests.support.evidence import evidence, passage, session
from tests.support.hash_encoder import HashEncoder
from tests.support.scripted_tiers import USAGE, ScriptedTiers

FOUND = evidence(
    passage("The Millau viaduct was opened to traffic in 2004.", "It has seven piers of concrete.", document="a"),
    passage("Norman Foster designed the Millau viaduct with Michel Virlogeux.", document="b", start=500, page=7),
)


def task(text: str, found: Evidence = FOUND) -> CiteTask:
    return CiteTask(question="q", draft=Draft(text=text), evidence=found, timeout_s=10.0)


def encoder_citer() -> EncoderCiter:
    return EncoderCiter(HashEncoder(), CiteSettings())  # type: ignore[arg-type]


async def cite(text: str, found: Evidence = FOUND) -> CiteResult:
    result = await encoder_citer()(task(text, found))
    check(result, found)
    return result


async def cite_by_model(text: str, *bindings: tuple[int, list[int]]) -> CiteResult:
    reply = {"bindings": [{"claim": claim, "sources": sources} for claim, sources in bindings]}
    result = await ModelCiter(ScriptedTiers(reply), "small", CiteSettings(), encoder_citer())(task(text))  # type: ignore[arg-type]
    check(result, FOUND)
    return result


def check(result: CiteResult, found: Evidence) -> None:
    """What holds for every answer: markers and citations match, numbered by first appearance, every quote verbatim."""
    numbers = [int(number) for number in MARKER.findall(result.text)]
    assert list(dict.fromkeys(numbers)) == [citation.number for citation in result.citations]
    assert [citation.number for citation in result.citations] == list(range(1, len(result.citations) + 1))
    for citation in result.citations:
        source = next(item.passage for item in found.items if item.passage.id == citation.passage_id)
        at = citation.start - source.start
        assert citation.quote == source.text[at : at + citation.end - citation.start] != ""
        assert source.start <= citation.start < citation.end <= source.end
        assert (citation.document_id, citation.version) == (source.document_id, source.version)


async def test_a_claim_leads_to_the_sentence_that_supports_it() -> None:
    result = await cite("The Millau viaduct was opened to traffic in 2004 [1].")
    assert result.text == "The Millau viaduct was opened to traffic in 2004. [1]"
    (citation,) = result.citations
    assert (citation.quote, citation.start, citation.document_id) == (FOUND.items[0].passage.text[:49], 100, "a")
    assert (citation.support, citation.page) == (1.0, 1)
    assert result.unsupported == ()


@pytest.mark.parametrize(
    "text",
    ["Opened to traffic in 2004. [1] It has seven piers. [1]", "Opened to traffic in 2004.[1] It has seven piers [1]."],
)
def test_a_marker_after_the_full_stop_belongs_to_the_sentence_before(text: str) -> None:
    claims = read_claims(text)
    assert [(claim.text, claim.numbers) for claim in claims] == [
        ("Opened to traffic in 2004.", (1,)),
        ("It has seven piers.", (1,)),
    ]


def test_claims_keep_lines_and_lists() -> None:
    claims = read_claims("Intro:\n\n- One item [1]\n- Another item. [2][1]\n")
    assert "".join(claim.text + claim.tail for claim in claims).split("\n")[0] == "Intro:"
    assert [claim.numbers for claim in claims] == [(), (1,), (2, 1)]
    assert read_claims("") == read_claims(" \n") == []


async def test_numbers_follow_the_text_not_the_evidence() -> None:
    text = "Norman Foster designed the Millau viaduct [2]. The Millau viaduct was opened to traffic in 2004 [1]."
    result = await cite(text)
    assert [citation.document_id for citation in result.citations] == ["b", "a"]
    assert MARKER.findall(result.text) == ["1", "2"]


async def test_one_sentence_cited_twice_has_one_number() -> None:
    result = await cite("It has seven piers of concrete [1]. Indeed seven piers of concrete [1].")
    assert MARKER.findall(result.text) == ["1", "1"]


async def test_two_sentences_of_one_passage_have_two_numbers() -> None:
    result = await cite("The viaduct was opened to traffic in 2004 [1]. It has seven piers of concrete [1].")
    assert MARKER.findall(result.text) == ["1", "2"]
    assert {citation.document_id for citation in result.citations} == {"a"}


async def test_markers_that_lead_nowhere_are_dropped() -> None:
    result = await cite(
        "The viaduct was opened to traffic in 2004 [9][999]. Aliens painted everything purple overnight [8]."
    )
    assert MARKER.findall(result.text) == ["1"], "the claim is bound all the same"
    assert result.unsupported == ("Aliens painted everything purple overnight.",)


async def test_a_misattributed_claim_is_linked_again() -> None:
    result = await cite("Norman Foster designed the Millau viaduct with Michel Virlogeux [1].")
    assert [citation.document_id for citation in result.citations] == ["b"]


async def test_an_uncited_claim_is_bound_and_an_unsupported_one_told() -> None:
    result = await cite("It has seven piers of concrete. Zebras prefer quantum chromodynamics lectures.")
    assert len(result.citations) == 1
    assert result.unsupported == ("Zebras prefer quantum chromodynamics lectures.",)


async def test_headings_questions_and_introductions_need_no_support() -> None:
    result = await cite("# Summary\nThe following facts were found:\nIs that really all of it?\n")
    assert (result.citations, result.unsupported) == ((), ())


async def test_a_short_answer_with_a_marker_is_bound() -> None:
    for text, quote in (("2004 [1].", FOUND.items[0].passage.text[:49]), ("Norman Foster. [2]", None)):
        (citation,) = (await cite(text)).citations
        assert citation.quote == (quote or FOUND.items[1].passage.text)


async def test_reference_marks_in_a_source_are_no_citations() -> None:
    found = evidence(
        passage("The viaduct[2] was opened in 2004.[1]", document="a"), passage("Other text entirely here.")
    )
    result = await cite("The viaduct was opened in 2004. [1]", found)
    assert [(citation.document_id, citation.support) for citation in result.citations] == [("a", 1.0)]


async def test_sentences_that_pruning_left_out_may_be_cited() -> None:
    item = FOUND.items[0].model_copy(update={"kept": (0,)})
    found = FOUND.model_copy(update={"items": (item,)})
    assert len(list_sources(found)) == 2
    (citation,) = (await cite("It has seven piers of concrete [1].", found)).citations
    assert citation.start == item.passage.sentences[1].start


@settings(max_examples=80, deadline=None)
@given(
    text=st.lists(
        st.sampled_from(
            ["[1]", "[2]", "[3]", "[77]", "[1234]", "[]", "[ 1 ]", "\n", "\n\n", ". ", "! ", "- ", "# ", "It has seven",
             "piers of concrete", "Norman Foster designed", "the Millau viaduct", "in 2004", "😀", "。", "\u2028", "|"]
        ),
        max_size=25,
    ).map(" ".join)
)  # fmt: skip
async def test_whatever_a_model_writes_no_citation_is_made_up(text: str) -> None:
    result = await cite(text)
    bare = re.sub(r"\s", "", MARKER.sub("", text))
    assert re.sub(r"\s", "", MARKER.sub("", result.text)) == bare, "nothing of the text is lost"


async def test_a_model_binds_and_code_resolves() -> None:
    result = await cite_by_model("Seven piers [1]. Built by Foster [2].", (1, [2]), (2, [3, 1]))
    assert [citation.start for citation in result.citations] == [150, 500, 100]
    assert result.text == "Seven piers. [1] Built by Foster. [2] [3]"
    assert (result.receipt.model, result.receipt.usage) == ("stub/small", USAGE)


async def test_what_a_model_makes_up_is_ignored() -> None:
    text = "The viaduct is seven piers long. Foster built many other bridges."
    result = await cite_by_model(text, (0, [1]), (3, [1]), (1, [0, -1, 4, 99]), (2, [3, 3, 3, 2, 1, 2]), (2, [1]))
    assert result.unsupported == ("The viaduct is seven piers long.",)
    assert [citation.start for citation in result.citations] == [500, 150, 100]


@pytest.mark.parametrize(
    ("claim", "sources", "starts"),
    [
        ("It was opened in 2005.", [1], []),
        ("It was opened in 2004.", [1], [100]),
        ("It was opened in 2004.", [2, 3, 1], [100]),
        ("It has 7 piers of concrete.", [2], [150]),
        ("It has 8 piers of concrete.", [2], []),
        ("It has seven piers of concrete.", [2], [150]),
        ("Foster designed it 12 years before 2004.", [1, 3], []),
    ],
)
async def test_a_model_s_binding_needs_every_number_of_the_claim(
    claim: str, sources: list[int], starts: list[int]
) -> None:
    result = await cite_by_model(f"{claim} [1]", (1, sources))
    assert [citation.start for citation in result.citations] == starts
    assert result.unsupported == (() if starts else (claim,))


async def test_a_model_s_binding_is_as_strong_as_its_words() -> None:
    result = await cite_by_model("It has seven piers of concrete. Foster drew Zaragoza.", (1, [2]), (2, [3]))
    verbatim, loose = [citation.support for citation in result.citations]
    assert verbatim == 1.0
    assert loose == pytest.approx(1 / 3, abs=1e-4)


def test_a_flood_of_white_space_is_read_at_once() -> None:
    before = time.process_time()
    (claim,) = read_claims("Seven" + " " * 100_000 + "piers [1] stand" + " " * 100_000)
    assert time.process_time() - before < 2
    assert claim.numbers == (1,)


async def test_claims_and_sources_go_to_a_model_as_data() -> None:
    tiers = ScriptedTiers({"bindings": []})
    await ModelCiter(tiers, "small", CiteSettings(), encoder_citer())(task("Seven piers [1]."))  # type: ignore[arg-type]
    sent = json.loads(tiers.prompts[0][1].content)
    assert sent["claims"] == [{"number": 1, "text": "Seven piers."}]
    assert [source["number"] for source in sent["sources"]] == [1, 2, 3]


async def test_a_model_that_fails_is_replaced_and_its_cost_kept() -> None:
    tiers = ScriptedTiers(ModelUnavailableError("down", USAGE))
    text = "It has seven piers of concrete [1]."
    result = await ModelCiter(tiers, "small", CiteSettings(), encoder_citer())(task(text))  # type: ignore[arg-type]
    assert result.text == (await cite(text)).text
    assert (result.receipt.fallback, result.receipt.usage, result.receipt.tier) == ("down", USAGE, "small")


async def test_an_encoder_that_takes_too_long_costs_no_answer() -> None:
    encoder = HashEncoder()
    encoder.delay_s = 2.0
    citer = EncoderCiter(encoder, CiteSettings())  # type: ignore[arg-type]
    asked = task("The viaduct has seven concrete piers [1]. Foster flew to Mars in 1999 [2].")
    started = time.perf_counter()
    result = await citer(asked.model_copy(update={"timeout_s": 0.2}))
    assert time.perf_counter() - started < 1.8
    check(result, FOUND)
    assert [citation.start for citation in result.citations] == [150]
    assert result.unsupported == ("Foster flew to Mars in 1999.",)
    assert "outlasted" in result.receipt.fallback
    model = ModelCiter(ScriptedTiers(ModelUnavailableError("down", USAGE)), "small", CiteSettings(), citer)  # type: ignore[arg-type]
    fallen = await model(asked.model_copy(update={"timeout_s": 0.2}))
    assert fallen.text == result.text
    assert fallen.receipt.fallback.startswith("down; binding outlasted")


async def test_an_abstaining_draft_calls_nothing() -> None:
    async def never(_: object) -> CiteResult:
        raise AssertionError("called")

    runner = InlineRunner(never, never, never)  # type: ignore[arg-type]
    draft = Draft(status=AnswerStatus.INSUFFICIENT)
    out = await Citer(runner).run_async("q", draft, FOUND, session())
    assert (out["citations"], out["unsupported"]) == ((), ())


async def test_each_citation_is_told() -> None:
    events: list[Event] = []
    citer = encoder_citer()
    draft = Draft(text="It has seven piers of concrete [1].")
    out = await Citer(InlineRunner(citer, citer, citer)).run_async("q", draft, FOUND, session(events))  # type: ignore[arg-type]
    assert [event.citation for event in events if isinstance(event, CitationEvent)] == list(out["citations"])  # type: ignore[call-overload]


def test_nothing_to_bind_costs_nothing() -> None:
    assert encoder_citer().bind([], list_sources(FOUND))[1] == Usage()
