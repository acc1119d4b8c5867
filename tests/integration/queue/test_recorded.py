"""Stages on workers are recorded where they run, and nothing is where either side does not consent."""

import asyncio
import json
import time

import pytest

from pipelines.core.settings import Settings
from pipelines.core.state import Database, Trace, TraceFilter, Traces
from pipelines.core.tasks import PlanTask, TraceOf
from pipelines.core.types import Question, Turn
from services.questions.recording import Recorder, RecordingRunner
from services.runtime import Runtime
from tests.support.model_stub import ModelStub, Reply
from tests.support.stage_workers import StageWorkers, asking

pytestmark = pytest.mark.network

REWRITE = json.dumps({"standalone": "How tall is the viaduct?", "queries": []})
QUESTION = Question(text="How tall is it?", history=(Turn(role="user", text="The viaduct?"),))


def task(number: int | None) -> PlanTask:
    whose = None
    if number is not None:
        whose = TraceOf(question_id=f"00000000-0000-4000-8000-{number:012}", tenant="acme", labels=("board",))
    return PlanTask(question=QUESTION, timeout_s=30, trace=whose)


async def recorded(traces: Traces, number: int) -> list[Trace]:
    end = time.monotonic() + 60
    while len(found := traces.page(TraceFilter()).items) < number and time.monotonic() < end:
        await asyncio.sleep(0.05)
    return list(found)


async def test_a_worker_records_what_it_did_and_the_asking_side_what_no_worker_did(
    workers: StageWorkers, stub: ModelStub, postgres_url: str
) -> None:
    database = Database(postgres_url)
    traces = Traces(database)
    patient = {"timeout_s": 15.0}
    with_state = {"url": postgres_url}
    settings: Settings = workers.configure(plan=patient, state=with_state, traces={"consent": True})
    worker = workers.start("plan")
    stub.script("small", [Reply("Sure! It is"), Reply(REWRITE), Reply(REWRITE)])
    async with asking(settings) as queue:
        await queue.runner.plan(task(1))
        await queue.runner.plan(task(None))
        (kept,) = await recorded(traces, 1)
        assert (kept.tenant, kept.labels, kept.parse, kept.tier) == ("acme", ("board",), "retried", "small")
        assert [reply["text"] for reply in kept.replies] == ["Sure! It is", REWRITE]
        worker.kill()
    runtime = Runtime(settings, remote_stages=True)
    assert isinstance(runtime._recorded(runtime.stages.lesser), RecordingRunner)
    recorder = Recorder(lambda: traces, "c", lambda *_: None)
    lesser = RecordingRunner(runtime.stages.lesser, recorder)
    await lesser.plan(task(2))
    await lesser.plan(task(None))
    recorder.close()
    assert [trace.parse for trace in await recorded(traces, 2)] == ["retried", "none"]

    workers.configure(plan=patient, state=with_state)
    unconsenting = workers.start("plan")
    stub.script("small", [Reply(REWRITE)])
    async with asking(settings) as queue:
        await queue.runner.plan(task(3))
    unconsenting.stop()
    assert len(await recorded(traces, 2)) == 2
    runtime.close()
    database.close()
