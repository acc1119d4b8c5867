"""Records of stages: what is kept, what is lost rather than waited for, and that nothing is kept without consent."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.core.errors import StateUnavailableError
from pipelines.core.models import ModelReply
from pipelines.core.models.replies import heard
from pipelines.core.settings import TraceSettings
from pipelines.core.state import Database, Trace, TraceFilter, Traces, sqlite_url
from pipelines.core.tasks import (
    CiteResult,
    CiteTask,
    InlineRunner,
    PlanResult,
    PlanTask,
    PruneResult,
    PruneTask,
    TraceOf,
)
from pipelines.core.types import Citation, Draft, Filter, Plan, Question, SearchQuery, StageReceipt, Usage
from services.questions import recording
from services.questions.recording import Done, Recorder, RecordingRunner, trace_of
from tests.support.evidence import evidence, hits, passage

QUESTION = "9c5b94b1-35ad-49bb-b118-8e8fc24abf80"
WHOSE = TraceOf(question_id=QUESTION, tenant="acme", labels=("board",))
TOWER = passage("The tower is tall.", "It is red.", document="a")
CONSENT = TraceSettings(consent=True)


def receipt(stage: str, fallback: str = "") -> StageReceipt:
    return StageReceipt(stage=stage, tier="small", model="openai/small", usage=Usage(calls=1), fallback=fallback)  # type: ignore[arg-type]


def plan_task(left_s: float = 8.0, whose: TraceOf | None = WHOSE) -> PlanTask:
    return PlanTask(question=Question(text="How tall?"), timeout_s=left_s, trace=whose)


async def plan(task: PlanTask) -> PlanResult:
    heard(ModelReply(tier="small", model="openai/small", text="Sure! {", of_schema=False))
    heard(ModelReply(tier="small", model="openai/small", text="{}", of_schema=True))
    text = task.question.text
    return PlanResult(plan=Plan(standalone=text, queries=(SearchQuery(text=text),)), receipt=receipt("plan"))


async def prune(task: PruneTask) -> PruneResult:
    return PruneResult(evidence=evidence(TOWER), receipt=receipt("prune", "the model kept nothing that exists"))


async def cite(task: CiteTask) -> CiteResult:
    citation = Citation(
        number=1, document_id="a", version="v1", passage_id=TOWER.id, title="", source="", start=100, end=118,
        quote="The tower is tall.", support=0.75,
    )  # fmt: skip
    return CiteResult(text="It is [1].", citations=(citation,), unsupported=("Red.",), receipt=receipt("cite"))


class Kept:
    """Stands in for the records of the state, and can be slow or away."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def record(self, traces: Sequence[Trace]) -> int:
        self.gate.wait(10)
        if self.error:
            raise self.error
        self.traces.extend(traces)
        return len(traces)


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def counts() -> Counter[str]:
    return Counter()


@pytest.fixture
def recorder(kept: Kept, counts: Counter[str]) -> Iterator[Recorder]:
    made = Recorder(lambda: kept, "config-1", lambda outcome, number: counts.update({outcome: number}))  # type: ignore[arg-type,return-value]
    yield made
    kept.gate.set()
    made.close()


async def test_each_stage_is_recorded_with_what_its_models_wrote(recorder: Recorder, kept: Kept) -> None:
    runner = RecordingRunner(InlineRunner(plan, prune, cite), recorder)
    await runner.plan(plan_task())
    await runner.prune(PruneTask(question="q", asked="q", hits=hits(TOWER), timeout_s=1, trace=WHOSE))
    draft = Draft(text="It is [1]. Red.")
    await runner.cite(CiteTask(question="q", draft=draft, evidence=evidence(TOWER), timeout_s=1, trace=WHOSE))
    recorder.close()
    by_stage = {trace.stage: trace for trace in kept.traces}
    planned, pruned, cited = by_stage["plan"], by_stage["prune"], by_stage["cite"]
    assert {(each.tenant, each.question_id, each.labels) for each in kept.traces} == {("acme", QUESTION, ("board",))}
    assert (planned.parse, planned.tier, planned.model, planned.config_version) == (
        "retried", "small", "openai/small", "config-1",
    )  # fmt: skip
    assert [reply["text"] for reply in planned.replies] == ["Sure! {", "{}"]
    assert PlanTask.model_validate(planned.task) == plan_task(whose=None)
    assert (pruned.parse, pruned.replies, pruned.document_ids) == ("none", [], ("a",))
    assert pruned.fallback == "the model kept nothing that exists"
    assert pruned.scores == {"sufficiency": 0.9, "sufficient": True, "kept": 1}
    assert cited.scores == {"supports": [0.75], "unsupported": 1}
    assert CiteResult.model_validate(cited.result) == await cite(CiteTask.model_validate(cited.task))


async def test_without_consent_nothing_is_recorded_and_no_thread_starts(recorder: Recorder, kept: Kept) -> None:
    runner = RecordingRunner(InlineRunner(plan, prune, cite), recorder)
    await runner.plan(plan_task(whose=None))
    assert not any(each.name == "strata-recorder" for each in threading.enumerate())
    recorder.close()
    assert kept.traces == []


def test_consent_and_share_are_decided_for_the_whole_question() -> None:
    seen = Filter(tenant="acme", labels=("board",))
    assert trace_of(TraceSettings(), seen) is None
    whose = trace_of(CONSENT, seen)
    assert whose is not None
    assert (whose.tenant, whose.labels) == ("acme", ("board",))
    assert trace_of(TraceSettings(consent=True, share=0.0), seen) is None
    drawn = [trace_of(TraceSettings(consent=True, share=0.3), seen) for _ in range(2000)]
    assert 450 < sum(each is not None for each in drawn) < 750


def done(number: int = 0) -> Done:
    result = PlanResult(plan=Plan(standalone="q", queries=()), receipt=receipt("plan"))
    task = PlanTask(question=Question(text=f"q{number}"), timeout_s=1, trace=WHOSE)
    return Done("plan", task, result, (), datetime.now(UTC))


def test_a_slow_database_costs_records_and_no_time(
    recorder: Recorder, kept: Kept, counts: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.gate.clear()
    started = time.monotonic()
    for number in range(recording.WAITING + recording.TOGETHER + 10):
        recorder.put(done(number))
    assert time.monotonic() - started < 8  # less than the database takes
    assert counts["dropped"] >= 10
    kept.gate.set()
    recorder.close()
    assert len(kept.traces) == counts["recorded"] >= recording.WAITING
    recorder.put(done())  # a late stage of a process that ends
    recorder.close()


@pytest.mark.parametrize("error", [StateUnavailableError("away"), RuntimeError("the text of a question")])
def test_a_database_that_is_away_is_counted_and_comes_back(
    recorder: Recorder, kept: Kept, counts: Counter[str], error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    kept.error = error
    recorder.put(done())
    deadline = time.monotonic() + 10
    while not counts["dropped"] and time.monotonic() < deadline:
        time.sleep(0.01)
    kept.error = None
    recorder.put(done(1))
    recorder.close()
    assert counts == {"dropped": 1, "recorded": 1, "skipped": 0}
    assert "records of stages are lost" in caplog.text
    assert "the text of a question" not in caplog.text


def test_a_task_that_two_workers_did_has_one_id_and_another_round_has_its_own() -> None:
    result = PlanResult(plan=Plan(standalone="q", queries=()), receipt=receipt("plan"))
    now = datetime.now(UTC)

    def recorded(task: PlanTask) -> str:
        return recording.as_trace(Done("plan", task, result, (), now), "c").id

    assert recorded(plan_task(8.0)) == recorded(plan_task(3.0))
    other = PlanTask(question=Question(text="How wide?"), timeout_s=8.0, trace=WHOSE)
    assert recorded(other) != recorded(plan_task(8.0))


async def test_records_reach_the_database(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "state.sqlite"))
    traces = Traces(database)
    recorder = Recorder(lambda: traces, "config-1", lambda *_: None)
    runner = RecordingRunner(InlineRunner(plan, prune, cite), recorder)
    await runner.plan(plan_task())
    recorder.close()
    (found,) = traces.page(TraceFilter(tenant="acme")).items
    assert found.replies[0]["text"] == "Sure! {"
    database.close()
