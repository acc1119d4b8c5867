"""Stages on real workers: the same results, cancelled at once, bounded in threads."""

import asyncio
import json
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from pipelines.core.errors import OverloadedError
from pipelines.core.settings import Settings
from pipelines.core.tasks import CiteTask, PlanTask, PruneTask, Result
from pipelines.core.types import Draft, Question, Turn
from services.queue.depths import Depths
from services.queue.sender import Sender
from services.runtime import Runtime
from tests.support.cluster import StrataProcess
from tests.support.evidence import evidence, hits, passage
from tests.support.model_stub import Behaviour, Hang, ModelStub, Reply, Request
from tests.support.stage_workers import CONCURRENCY, StageWorkers, asking, call

pytestmark = pytest.mark.network

REWRITE = json.dumps({"standalone": "How tall is the viaduct of Millau?", "queries": ["viaduct height"]})
STANDALONE = "How tall is the viaduct of Millau?"
QUESTION = Question(text="How tall is it?", history=(Turn(role="user", text="The viaduct of Millau?"),))
TOWER = passage("The viaduct of Millau is 336 metres tall.", "It was opened in 2004.", document="a")
TUNNEL = passage("The tunnel is 57 km long.", "It was opened in 2016.", document="b")
PRUNE = PruneTask(question="How tall is the viaduct?", asked="How tall is it?", hits=hits(TOWER, TUNNEL), timeout_s=30)
CITE = CiteTask(
    question="How tall is the viaduct?",
    draft=Draft(text="The viaduct of Millau is 336 metres tall [2]. It is red [1]."),
    evidence=evidence(TUNNEL, TOWER),
    timeout_s=30,
)


PATIENT = {"timeout_s": 15.0}
"""A worker's first call of a model takes a second or more where other work shares the processors."""


def plan(timeout_s: float = 30.0) -> PlanTask:
    return PlanTask(question=QUESTION, timeout_s=timeout_s)


@pytest.fixture(scope="module")
def worker(workers: StageWorkers) -> StrataProcess:
    """One process that does all three stages."""
    workers.configure(plan=PATIENT)
    return workers.start("plan", "prune", "cite")


@pytest.fixture
def settings(worker: StrataProcess, workers: StageWorkers, stub: ModelStub) -> Iterator[Settings]:
    stub.reset()
    stub.on("small", lambda _: Reply(REWRITE))
    yield workers.configure(plan=PATIENT)
    assert worker.process is not None
    assert worker.process.poll() is None, worker.last_words()


def timeless(result: Result) -> Result:
    """A result without what differs from one run to the next."""
    usage = result.receipt.usage.model_copy(update={"model_ms": 0.0})
    return result.model_copy(update={"receipt": result.receipt.model_copy(update={"ms": 0.0, "usage": usage})})


async def test_results_are_those_of_this_process(settings: Settings) -> None:
    inline = Runtime(settings).stages.inline
    async with asking(settings) as queue:
        for here, there, task in (
            (inline.prune, queue.runner.prune, PRUNE),
            (inline.cite, queue.runner.cite, CITE),
        ):
            expected, found = await here(task), await there(task)  # type: ignore[operator]
            assert timeless(found) == timeless(expected)
            assert found.receipt.ms > 0
        result = await queue.runner.plan(plan())
    assert result.plan.standalone == STANDALONE
    receipt = result.receipt
    assert (receipt.tier, receipt.model, receipt.fallback, receipt.usage.calls) == ("small", "openai/small", "", 1)


async def test_what_a_failed_model_call_cost_is_in_the_receipt(settings: Settings, stub: ModelStub) -> None:
    stub.script("small", [Reply("no JSON")] * 2)
    async with asking(settings) as queue:
        result = await queue.runner.plan(plan())
    assert result.receipt.fallback
    assert result.receipt.usage.calls == 3  # two of the model, one of the head that stepped in


async def test_a_task_that_this_version_cannot_read_is_done_here(settings: Settings, worker: StrataProcess) -> None:
    class NewerTask(PlanTask):
        of_tomorrow: int = 1

    async with asking(settings) as queue:
        result = await queue.runner.plan(NewerTask(question=QUESTION, timeout_s=30))
    assert "unforeseen" in result.receipt.fallback
    assert "viaduct" in result.plan.standalone  # by the in-process way
    assert QUESTION.text not in worker.last_words()


async def test_a_cancelled_task_stops_at_once(settings: Settings, stub: ModelStub) -> None:
    stub.script("small", [Hang()])
    async with asking(settings) as queue:
        asked = asyncio.ensure_future(queue.runner.plan(plan()))
        request = await call(stub)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert await asyncio.to_thread(request.gone.wait, 20), "the model is still worked for"
        assert not (await queue.runner.plan(plan())).receipt.fallback


async def test_a_cancelled_task_that_waits_is_never_begun(settings: Settings, stub: ModelStub) -> None:
    holding = threading.Event()

    def hold(_: Request) -> Behaviour:
        holding.wait(60)
        return Reply(REWRITE)

    stub.on("small", hold)
    async with asking(settings) as queue:
        running = [asyncio.ensure_future(queue.runner.plan(plan())) for _ in range(CONCURRENCY)]
        await call(stub, CONCURRENCY)
        waiting = asyncio.ensure_future(queue.runner.plan(plan()))
        while (await depths(settings)) != 1:
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])
        telling = queue._cancels._telling
        assert telling is not None
        await telling
        holding.set()
        await asyncio.gather(*running)
        await queue.runner.plan(plan())
    assert len(stub.calls()) == CONCURRENCY + 1


async def test_a_task_that_expired_is_never_begun(
    settings: Settings, stub: ModelStub, worker: StrataProcess, workers: StageWorkers
) -> None:
    assert worker.process is not None
    worker.process.send_signal(signal.SIGSTOP)
    sender = Sender(settings.queue)
    try:
        for _ in range(3):  # one reaches the stopped process, the others wait on the broker
            await sender.send("plan", "late", plan().model_dump_json(), {"reply_key": "nobody"}, 0.1)
        await asyncio.sleep(0.2)
    finally:
        sender.close()
        worker.process.send_signal(signal.SIGCONT)
    async with asking(settings) as queue:
        assert not (await queue.runner.plan(plan())).receipt.fallback
    assert len(stub.calls()) == 1


async def test_no_thread_waits_for_a_result(settings: Settings, stub: ModelStub) -> None:
    stub.on("small", lambda _: Hang())
    async with asking(settings) as queue:
        before = threading.active_count()
        asked = [asyncio.ensure_future(queue.runner.plan(plan())) for _ in range(100)]
        await call(stub, CONCURRENCY)
        assert threading.active_count() - before <= 4  # those that send
        for each in asked:
            each.cancel()
        await asyncio.wait(asked)


async def test_a_full_queue_refuses_questions(settings: Settings, stub: ModelStub) -> None:
    stub.on("small", lambda _: Hang())
    queue_settings = settings.queue.model_copy(update={"max_waiting": 3})
    while await depths(settings):  # what the test before cancelled
        await asyncio.sleep(0.01)
    async with asking(settings.model_copy(update={"queue": queue_settings})) as queue:
        asked = [asyncio.ensure_future(queue.runner.plan(plan())) for _ in range(CONCURRENCY)]
        await call(stub, CONCURRENCY)
        queue.check()
        asked += [asyncio.ensure_future(queue.runner.plan(plan())) for _ in range(3)]
        end = time.monotonic() + 30
        while (depth := queue.depths["plan"]).waiting < 3 and time.monotonic() < end:
            await asyncio.sleep(0.02)
        assert depth.waiting == 3
        assert 0 < depth.oldest_s < 60
        with pytest.raises(OverloadedError) as caught:
            queue.check()
        assert caught.value.retry_after_s is not None
        for each in asked:
            each.cancel()
        await asyncio.wait(asked)


async def test_a_worker_that_is_told_to_stop_ends_what_runs(
    settings: Settings, stub: ModelStub, workers: StageWorkers, worker: StrataProcess
) -> None:
    assert worker.process is not None
    worker.process.send_signal(signal.SIGSTOP)  # the other one takes what comes, but for one that this one was given
    other = workers.start("plan")
    assert other.process is not None

    def slow(_: Request) -> Behaviour:
        time.sleep(0.5)
        return Reply(REWRITE)

    stub.on("small", slow)
    try:
        async with asking(settings) as queue:
            asked = [asyncio.ensure_future(queue.runner.plan(plan())) for _ in range(2)]
            await call(stub)
            other.process.send_signal(signal.SIGTERM)
            done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            assert not done.pop().result().receipt.fallback
            assert await asyncio.to_thread(other.process.wait, 10) == 0
            worker.process.send_signal(signal.SIGCONT)
            assert not any(result.receipt.fallback for result in await asyncio.gather(*asked))
    finally:
        worker.process.send_signal(signal.SIGCONT)


async def test_told_twice_a_worker_ends_at_once(settings: Settings, stub: ModelStub, workers: StageWorkers) -> None:
    other = workers.start("cite")
    assert other.process is not None
    started = time.monotonic()
    other.process.send_signal(signal.SIGTERM)
    other.process.send_signal(signal.SIGINT)
    await asyncio.to_thread(other.process.wait, 10)
    assert time.monotonic() - started < 5


async def depths(settings: Settings) -> int:
    looking = Depths(settings.queue)
    try:
        return (await looking.look())["plan"].waiting
    finally:
        await looking.aclose()
