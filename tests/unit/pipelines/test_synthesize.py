"""The synthesize stage."""

import json

import pytest

from pipelines.core.errors import ModelOutputError, ModelUnavailableError
from pipelines.core.events import DeltaEvent, Event
from pipelines.core.settings import SynthesizeSettings
from pipelines.core.text import estimate_tokens
from pipelines.core.types import AnswerStatus, Evidence, Limits, Question, StageReceipt, Turn, Usage
from pipelines.synthesize import REFUSAL, ExtractiveWriter, ModelWriter, Synthesizer, evidence_tokens, shown
from tests.support.evidence import evidence, passage, session
from tests.support.scripted_tiers import TRUNCATED, USAGE, ScriptedTiers

ASKED = "When was the Millau viaduct opened to traffic?"
FOUND = evidence(
    passage("The Millau viaduct was opened to traffic in 2004.", "Contents:", "It has seven concrete piers in all."),
    passage("Norman Foster designed the Millau viaduct with Michel Virlogeux.", document="b"),
)


class Written:
    """What a writer made of a script."""

    def __init__(self, *pieces: object) -> None:
        self.tiers = ScriptedTiers(pieces)
        self.events: list[Event] = []
        self.session = session(self.events)

    async def write(self, found: Evidence = FOUND, **limits: float) -> "Written":
        settings = SynthesizeSettings(max_output_tokens=200)
        writer = ModelWriter(self.tiers, "large", settings, ExtractiveWriter(settings))  # type: ignore[arg-type]
        question = Question(text=ASKED, limits=Limits(**limits))
        self.draft = await writer(question, ASKED, found, self.session)
        return self

    @property
    def deltas(self) -> list[tuple[str, bool]]:
        return [(event.text, event.restart) for event in self.events if isinstance(event, DeltaEvent)]

    @property
    def shown(self) -> str:
        """The text as a client that follows the deltas has it."""
        text = ""
        for delta, restart in self.deltas:
            text = delta if restart else text + delta
        return text


async def test_a_model_s_answer_is_streamed_as_it_comes() -> None:
    written = await Written("It was ", "opened in ", "2004 [1].").write()
    assert written.draft.text == written.shown == "It was opened in 2004 [1]."
    assert written.draft.status is AnswerStatus.ANSWERED
    assert len(written.deltas) == 3
    (receipt,) = written.session.receipt().stages
    assert (receipt.stage, receipt.tier, receipt.model, receipt.usage) == ("synthesize", "large", "stub/large", USAGE)
    sent = json.loads(written.tiers.prompts[0][1].content)
    assert [item["number"] for item in sent["evidence"]] == [1, 2]


@pytest.mark.parametrize(
    "pieces",
    [
        (REFUSAL,),
        tuple(REFUSAL),
        ("\n ", REFUSAL[:7], REFUSAL[7:], "."),
        (REFUSAL + ": the passages say nothing of it.",),
        (),
        ("  \n",),
    ],
)
async def test_a_refusal_is_recognised_however_it_is_cut_and_never_shown(pieces: tuple[str, ...]) -> None:
    written = await Written(*pieces).write()
    assert (written.draft.status, written.draft.text) == (AnswerStatus.INSUFFICIENT, "")
    assert written.deltas == []
    assert written.draft.reasons


@pytest.mark.parametrize("pieces", [("I", "N 2004 [1]."), ("INSUFF", "LATION [1]"), ("I",), ("\n\nIn 2004 [1].",)])
async def test_what_only_begins_like_a_refusal_is_an_answer(pieces: tuple[str, ...]) -> None:
    written = await Written(*pieces).write()
    assert written.draft.text == written.shown.strip() == "".join(pieces).strip()
    assert written.draft.status is AnswerStatus.ANSWERED


async def test_a_stream_that_fails_is_withdrawn_and_sentences_are_quoted() -> None:
    written = await Written("It was ", ModelOutputError("cut", USAGE)).write()
    assert written.draft.status is AnswerStatus.DEGRADED
    assert written.deltas[-1] == (written.draft.text, True)
    assert written.shown == written.draft.text
    assert "opened to traffic in 2004. [1]" in written.draft.text
    (receipt,) = written.session.receipt().stages
    assert (receipt.model, receipt.usage, receipt.fallback) == ("extractive/sentences", USAGE, "cut")


async def test_a_model_that_never_began_withdraws_nothing() -> None:
    written = await Written(ModelUnavailableError("down")).write()
    assert [restart for _, restart in written.deltas] == [False]
    assert written.draft.reasons == ("down",)
    assert written.session.receipt().total == USAGE, "the stream knows what was spent"


async def test_an_answer_at_the_output_limit_is_degraded() -> None:
    written = await Written("It was opened", TRUNCATED).write()
    assert written.draft.status is AnswerStatus.DEGRADED
    assert "output limit" in written.draft.reasons[0]


@pytest.mark.parametrize("limit", [350, 400, 600, 5000])
async def test_the_large_call_keeps_its_limit_prompt_and_answer_together(limit: int) -> None:
    found = evidence(*(passage(f"Fact {n} about the viaduct. " * 10, start=n) for n in range(10)))
    written = await Written("Fact 0 [1].").write(found, max_large_tokens=limit)
    sent = sum(estimate_tokens(message.content) for message in written.tiers.prompts[0])
    assert sent + written.tiers.calls[0]["max_tokens"] <= limit
    complete = limit == 5000
    assert written.draft.status is (AnswerStatus.ANSWERED if complete else AnswerStatus.DEGRADED)
    assert len(json.loads(written.tiers.prompts[0][1].content)["evidence"]) < 10 or complete


@pytest.mark.parametrize("limit", [0, 1, 100])
async def test_without_room_for_a_large_call_none_is_made(limit: int) -> None:
    written = await Written("never").write(max_large_tokens=limit)
    assert written.tiers.prompts == []
    assert written.draft.status is AnswerStatus.DEGRADED
    assert written.draft.text
    assert written.session.receipt().total == Usage()


def test_quoted_sentences_are_whole_one_a_line_with_their_marker() -> None:
    items = tuple(item.model_copy(update={"scores": (0.5,) * len(item.kept)}) for item in FOUND.items)
    found = FOUND.model_copy(update={"items": items})
    draft = ExtractiveWriter(SynthesizeSettings(max_sentences=3)).draft(ASKED, found)
    assert draft.text.splitlines() == [
        "The Millau viaduct was opened to traffic in 2004. [1]",
        "It has seven concrete piers in all. [1]",
        "Norman Foster designed the Millau viaduct with Michel Virlogeux. [2]",
    ]


def test_quotes_are_the_best_sentences_in_the_order_of_the_best_of_each_passage() -> None:
    best = FOUND.items[1].model_copy(update={"scores": (0.9,)})
    found = FOUND.model_copy(update={"items": (FOUND.items[0].model_copy(update={"scores": (0.2, 0.85, 0.8)}), best)})
    lines = ExtractiveWriter(SynthesizeSettings(max_sentences=2)).draft(ASKED, found).text.splitlines()
    assert [line[-3:] for line in lines] == ["[2]", "[1]"]
    assert "seven concrete piers" in lines[1], "a label is no answer, whatever its score"


def test_what_was_said_is_not_said_again() -> None:
    found = evidence(
        passage("The viaduct was opened to traffic in 2004."),
        passage("In 2004 the viaduct was opened to the traffic.", document="b"),
    )
    assert len(ExtractiveWriter(SynthesizeSettings()).draft(ASKED, found).text.splitlines()) == 1


@pytest.mark.parametrize(
    ("quote", "text"),
    [("a\n  b", "a b"), ("| a | b |", "a | b"), ("fact[12] here.[3]", "fact here."), ("a [1234] b", "a [1234] b")],
)
def test_how_a_quote_is_shown(quote: str, text: str) -> None:
    assert shown(quote) == text


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("Opened in 2004 [1, 2].", "Opened in 2004 [1][2]."),
        ("a [1,2;3] b", "a [1][2][3] b"),
        ("a [2, 99]", "a [2][99]"),
        ("between [10, 20] metres", "between [10, 20] metres"),
        ("a [1] [2]", "a [1] [2]"),
    ],
)
async def test_markers_in_one_pair_of_brackets_are_read_apart(written: str, text: str) -> None:
    assert (await Written(written).write()).draft.text == text


@pytest.mark.parametrize(("left", "room"), [(1.0, 200), (0.0006, 100), (0.0, 0)])
async def test_the_large_call_keeps_its_cost(left: float, room: int) -> None:
    written = Written("Opened in 2004 [1].")
    written.session = session(written.events, max_cost_usd=left)
    written.tiers.token_price = (1e-9, 3e-6)
    await written.write(max_cost_usd=left)
    if not room:
        assert written.tiers.calls == []
        assert written.draft.reasons == ("max_cost_usd leaves no room for a large call",)
    else:
        (call,) = written.tiers.calls
        assert call["max_tokens"] == pytest.approx(min(200, left / 3e-6), abs=1)
        assert call["cost_left_usd"] == left
        assert written.draft.status is AnswerStatus.ANSWERED


async def test_no_large_call_once_an_earlier_price_was_unknown() -> None:
    written = Written("never")
    written.session = session(written.events, max_cost_usd=100.0)
    written.session.record(StageReceipt(stage="plan", tier="t", model="m", usage=Usage(calls=1, cost_usd=None)))
    written.tiers.token_price = (1e-9, 1e-9)
    await written.write(max_cost_usd=100.0)
    assert (written.tiers.calls, written.draft.status) == ([], AnswerStatus.DEGRADED)


def test_evidence_tokens_count_text_and_context() -> None:
    item = FOUND.items[1]
    assert evidence_tokens([item]) == estimate_tokens(item.text) + estimate_tokens("Title")


async def test_insufficient_evidence_calls_no_writer() -> None:
    async def never(*_: object) -> None:
        raise AssertionError("called")

    for found in (evidence(sufficient=False), FOUND.model_copy(update={"sufficient": False})):
        asked = Question(text=ASKED, history=(Turn(role="user", text="x"),))
        out = await Synthesizer(never).run_async(asked, ASKED, found, session())  # type: ignore[arg-type]
        assert (out["draft"].status, out["draft"].text) == (AnswerStatus.INSUFFICIENT, "")
        assert out["draft"].reasons
