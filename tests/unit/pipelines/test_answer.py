"""The question path as a whole, its stages replaced where a test needs to."""

import asyncio
import time
from typing import Any

import pytest

from pipelines.answer import NO_ANSWER, answer, build_answer_pipeline
from pipelines.cite import EncoderCiter
from pipelines.core.errors import DeadlineExceededError, IndexUnavailableError, ModelRejectedError
from pipelines.core.events import AnswerEvent, Event
from pipelines.core.settings import Settings
from pipelines.core.store import Store
from pipelines.core.tasks import InlineRunner
from pipelines.core.types import AnswerStatus, Draft, Limits, Question, StageReceipt, Usage
from pipelines.plan import ContextPlanner
from pipelines.prune import EncoderPruner
from pipelines.synthesize import ExtractiveWriter
from tests.support.evidence import hits, passage
from tests.support.hash_encoder import HashEncoder

ASKED = "When was the Millau viaduct opened to traffic?"
FOUND = hits(
    passage("The Millau viaduct was opened to traffic in December 2004.", document="a"),
    passage("Tunnels are dug through solid rock.", document="b"),
)


class FixedStore:
    """An index that finds the same passages for every query."""

    def __init__(self) -> None:
        self.found = FOUND
        self.error: Exception | None = None

    def search(self, queries: object, **_: object) -> list:
        if self.error is not None:
            raise self.error
        return list(self.found)


class QuestionPath:
    """The graph with its parts at hand."""

    def __init__(self) -> None:
        self.settings = Settings()
        encoder: Any = HashEncoder()
        self.encoder, self.store = encoder, FixedStore()
        self.runner = InlineRunner(
            ContextPlanner(self.settings.plan),
            EncoderPruner(encoder, self.settings.prune),
            EncoderCiter(encoder, self.settings.cite),
        )
        self.writer: Any = ExtractiveWriter(self.settings.synthesize)
        self.events: list[Event] = []

    async def ask(self, text: str = ASKED, *, deadline_s: float = 10.0, **fields: Any) -> Any:
        store: Store = self.store  # type: ignore[assignment]
        pipeline = build_answer_pipeline(
            self.settings,
            runner=self.runner,
            writer=self.writer,
            encoder=self.encoder,
            store=store,
            config_version="v7",
        )
        return await answer(pipeline, Question(text=text, **fields), deadline_s=deadline_s, emit=self.events.append)

    def writes(self, text: str, *, status: AnswerStatus = AnswerStatus.ANSWERED, calls: int = 1) -> None:
        async def write(question: object, standalone: str, evidence: object, session: Any) -> Draft:
            usage = Usage(calls=calls, tokens_in=100, tokens_out=10, cost_usd=0.5)
            session.record(StageReceipt(stage="synthesize", tier="large", model="stub/large", usage=usage, ms=1.0))
            reasons = () if status is AnswerStatus.ANSWERED else ("why",)
            return Draft(text=text, status=status, reasons=reasons, evidence_tokens=12)

        self.writer = write


@pytest.fixture
def path() -> QuestionPath:
    return QuestionPath()


async def test_an_answer_with_its_receipt(path: QuestionPath) -> None:
    result = await path.ask()
    assert result.status is AnswerStatus.ANSWERED
    assert result.text == "The Millau viaduct was opened to traffic in December 2004. [1]"
    assert (result.question, result.config_version, result.plan.queries[0].text) == (ASKED, "v7", ASKED)
    assert [stage.stage for stage in result.receipt.stages] == ["plan", "retrieve", "prune", "synthesize", "cite"]
    assert all(stage.model and stage.tier and stage.ms >= 0 for stage in result.receipt.stages)
    assert result.receipt.total_ms >= sum(stage.ms for stage in result.receipt.stages) * 0.9
    assert result.receipt.total.cost_usd == 0.0


async def test_events_come_in_order_and_end_with_the_answer(path: QuestionPath) -> None:
    result = await path.ask()
    assert [event.type for event in path.events] == ["plan", "evidence", "delta", "citation", "answer"]
    assert path.events[-1] == AnswerEvent(answer=result)


async def test_two_questions_at_once_have_nothing_in_common(path: QuestionPath) -> None:
    one, two = await asyncio.gather(path.ask(), path.ask("What are tunnels dug through?"))
    assert one.id != two.id
    assert (one.question, two.question) == (ASKED, "What are tunnels dug through?")
    assert len(one.receipt.stages) == len(two.receipt.stages) == 5


async def test_without_hits_the_answer_abstains_and_no_model_is_called(path: QuestionPath) -> None:
    path.store.found = ()
    path.writes("never")
    result = await path.ask()
    assert (result.status, result.text, result.citations) == (AnswerStatus.INSUFFICIENT, NO_ANSWER, ())
    assert [stage.stage for stage in result.receipt.stages] == ["plan", "retrieve", "prune"]
    assert result.reasons == ("no passage was found",)


async def test_without_sufficient_evidence_no_large_call_is_made(path: QuestionPath) -> None:
    path.writes("never")
    result = await path.ask("Which enzyme degrades caffeine metabolites?")
    assert result.status is AnswerStatus.INSUFFICIENT
    assert result.receipt.total.calls > 0, "the pruner's encoder was"
    assert "synthesize" not in {stage.stage for stage in result.receipt.stages}


async def test_a_refusing_model(path: QuestionPath) -> None:
    path.writes("", status=AnswerStatus.INSUFFICIENT)
    result = await path.ask()
    assert (result.status, result.text, result.reasons) == (AnswerStatus.INSUFFICIENT, NO_ANSWER, ("why",))
    assert result.receipt.total.cost_usd == 0.5


async def test_a_degraded_answer_says_why(path: QuestionPath) -> None:
    path.writes("It was opened to traffic in December 2004 [1].", status=AnswerStatus.DEGRADED)
    result = await path.ask()
    assert (result.status, result.reasons) == (AnswerStatus.DEGRADED, ("why",))


async def test_an_answer_that_nothing_supports_is_none(path: QuestionPath) -> None:
    path.writes("Zebras prefer quantum chromodynamics lectures [1].")
    result = await path.ask()
    assert (result.status, result.text, result.unsupported) == (AnswerStatus.INSUFFICIENT, NO_ANSWER, ())
    assert "no claim" in result.reasons[0]


async def test_an_unsupported_claim_beside_a_supported_one_is_told(path: QuestionPath) -> None:
    path.writes("It was opened to traffic in December 2004 [1]. Zebras prefer quantum lectures [1].")
    result = await path.ask()
    assert result.status is AnswerStatus.ANSWERED
    assert result.unsupported == ("Zebras prefer quantum lectures.",)


async def test_tokens_avoided(path: QuestionPath) -> None:
    retrieved = (await path.ask()).receipt.large_tokens_avoided
    path.writes("It was opened to traffic in December 2004 [1].")
    assert (await path.ask()).receipt.large_tokens_avoided == retrieved - 12


async def test_fates_are_told_on_request(path: QuestionPath) -> None:
    assert (await path.ask()).fates == ()
    fates = (await path.ask(explain=True)).fates
    assert fates[0].outcome == "cited"
    assert {fate.passage_id for fate in fates} == {hit.passage.id for hit in FOUND}


async def test_errors_of_a_stage_arrive_as_they_are(path: QuestionPath) -> None:
    path.store.error = IndexUnavailableError("the index went away")
    with pytest.raises(IndexUnavailableError, match="went away"):
        await path.ask()
    path.store.error = None

    async def reject(*_: object) -> Draft:
        raise ModelRejectedError("bad key", Usage(calls=1))

    path.writer = reject
    with pytest.raises(ModelRejectedError) as caught:
        await path.ask()
    assert caught.value.usage == Usage(calls=1)
    assert "answer" not in {event.type for event in path.events}


@pytest.mark.parametrize(("deadline_s", "limits"), [(0.5, Limits()), (20.0, Limits(deadline_ms=500))])
async def test_the_shorter_deadline_holds_and_the_work_stops(
    path: QuestionPath, deadline_s: float, limits: Limits
) -> None:
    stopped = asyncio.Event()

    async def hang(*_: object) -> Draft:
        try:
            await asyncio.sleep(30)
        finally:
            stopped.set()
        raise AssertionError

    path.writer = hang
    started = time.perf_counter()
    with pytest.raises(DeadlineExceededError) as caught:
        await path.ask(deadline_s=deadline_s, limits=limits)
    assert time.perf_counter() - started < 15
    assert stopped.is_set()
    assert caught.value.usage is not None
    assert caught.value.usage.calls >= 1, "what was spent before is told"


async def test_an_expired_deadline_is_a_clear_error(path: QuestionPath) -> None:
    with pytest.raises(DeadlineExceededError):
        await path.ask(deadline_s=0.0)


async def test_cancelling_stops_the_work(path: QuestionPath) -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def hang(*_: object) -> Draft:
        begun.set()
        try:
            await asyncio.sleep(30)
        finally:
            stopped.set()
        raise AssertionError

    path.writer = hang
    asking = asyncio.create_task(path.ask())
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert stopped.is_set()
