"""Workers that die or stall, and a broker that goes away and comes back."""

import asyncio
import base64
import itertools
import json
import pickle
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from pipelines.core.settings import Settings
from pipelines.core.tasks import PlanTask, PruneTask
from pipelines.core.types import Question
from services.queue.connection import connect
from tests.support.cluster import StrataProcess
from tests.support.model_stub import Hang, ModelStub, Reply
from tests.support.servers import Redis
from tests.support.stage_workers import STAGE_S, StageWorkers, asking, call

pytestmark = pytest.mark.network

PRUNE = PruneTask(question="How tall is it?", asked="How tall is it?", hits=(), timeout_s=30)
TASK = PlanTask(question=Question(text="How tall is the viaduct of Millau?"), timeout_s=30)


@pytest.fixture(scope="module")
def pair(workers: StageWorkers) -> tuple[StrataProcess, StrataProcess]:
    """Two processes that plan."""
    workers.configure()
    return workers.start("plan"), workers.start("plan")


@pytest.fixture
def settings(pair: tuple[StrataProcess, StrataProcess], workers: StageWorkers, stub: ModelStub) -> Iterator[Settings]:
    stub.reset()
    stub.on("small", lambda _: Reply(json.dumps({"standalone": "x", "queries": ["height of the viaduct"]})))
    yield workers.configure()
    for process in pair:
        assert process.process is not None
        assert process.process.poll() is None, process.last_words()


def at_work(pair: tuple[StrataProcess, StrataProcess], stub: ModelStub) -> StrataProcess:
    """Whichever of them is connected to the model."""
    port = int(stub.url.split(":")[2].partition("/")[0])
    for process in pair:
        assert process.process is not None
        connections = psutil.Process(process.process.pid).net_connections()
        if any(each.raddr and each.raddr.port == port and each.status == "ESTABLISHED" for each in connections):
            return process
    raise AssertionError("neither is connected to the model")


async def test_a_task_of_a_killed_worker_runs_elsewhere_after_the_stage_s_own_deadline(
    settings: Settings, pair: tuple[StrataProcess, StrataProcess], stub: ModelStub
) -> None:
    stub.script("small", [Hang()])
    hedges: list[str] = []
    async with asking(settings, hedges.append) as queue:
        asked = asyncio.ensure_future(queue.runner.plan(TASK))
        await call(stub)
        killed = at_work(pair, stub)
        killed.kill()
        since = time.monotonic()
        result = await asked
        assert time.monotonic() - since < STAGE_S + 10
        assert hedges == ["plan"]
        assert not result.receipt.fallback
        assert len(stub.calls()) == 2
    killed.start()


async def test_messages_that_are_none_end_no_worker_and_their_text_is_in_no_log(
    settings: Settings, pair: tuple[StrataProcess, StrataProcess], redis_server: Redis
) -> None:
    good = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    bodies = [
        b"not JSON: secret",
        pickle.dumps("secret"),
        *(json.dumps(each).encode() for each in ("secret", ["s", 1])),
    ]
    arguments: list[list[object]] = [["{secret"], ["secret", "secret"], [{"secret": 1}]]
    bodies += [json.dumps([each, {}, good]).encode() for each in arguments]
    messages: list[object] = ["secret", {"secret": 1}, {"body": "secret", "headers": "secret"}]
    for body, kind in itertools.product(bodies, ("application/json", "application/x-python-serialize")):
        headers = {"task": "strata.plan", "id": "secret", "eta": "secret" if len(body) % 2 else None}
        properties = {"delivery_tag": "secret", "body_encoding": "base64", "delivery_info": {}}
        content = {"body": base64.b64encode(body).decode(), "content-type": kind, "content-encoding": "utf-8"}
        messages.append({**content, "headers": headers, "properties": properties})
    async with connect(settings.queue) as redis:
        await redis.lpush("strata.plan", b"\xff secret", *(json.dumps(message) for message in messages))
        while await redis.llen("strata.plan"):
            await asyncio.sleep(0.05)
    async with asking(settings) as queue:
        for _ in range(4):
            assert not (await queue.runner.plan(TASK)).receipt.fallback
    for process in pair:
        assert process.process is not None
        assert process.process.poll() is None
        assert "secret" not in process.log.read_text()


async def test_tasks_of_a_stalled_worker_run_elsewhere_and_are_not_run_again_when_it_wakes(
    settings: Settings, pair: tuple[StrataProcess, StrataProcess], stub: ModelStub
) -> None:
    stalled = pair[0].process
    assert stalled is not None
    stalled.send_signal(signal.SIGSTOP)
    try:
        async with asking(settings) as queue:
            for _ in range(3):  # at most one of them is given to the stalled process
                assert not (await queue.runner.plan(TASK)).receipt.fallback
    finally:
        stalled.send_signal(signal.SIGCONT)
    await asyncio.sleep(0.5)
    assert len(stub.calls()) == 3


async def test_without_workers_the_stage_is_done_here_and_soon_at_once(
    settings: Settings, pair: tuple[StrataProcess, StrataProcess]
) -> None:
    for process in pair:
        assert process.process is not None
        process.process.send_signal(signal.SIGSTOP)
    try:
        async with asking(settings) as queue:
            results = await asyncio.gather(*(queue.runner.plan(TASK) for _ in range(5)))
            assert all("No worker" in result.receipt.fallback for result in results)
            assert all(result.plan.queries[0].text == TASK.question.text for result in results)
            assert "left alone" in (await queue.runner.plan(TASK)).receipt.fallback
    finally:
        for process in pair:
            assert process.process is not None
            process.process.send_signal(signal.SIGCONT)


async def test_a_stage_that_is_known_to_have_no_worker_waits_for_none(
    settings: Settings, workers: StageWorkers, stub: ModelStub
) -> None:
    prunes = workers.start("prune")
    async with asking(settings) as queue:
        while not queue.depths:
            await asyncio.sleep(0.05)
        assert {role: depth.workers for role, depth in queue.depths.items()} == {"plan": 2, "prune": 1, "cite": 0}
        prunes.kill()
        while queue.depths["prune"].workers:
            await asyncio.sleep(0.05)
        assert "No worker takes" in (await queue.runner.prune(PRUNE)).receipt.fallback
        assert not (await queue.runner.plan(TASK)).receipt.fallback


async def test_a_broker_that_is_away_costs_little_and_is_used_again_when_it_is_back(
    settings: Settings, redis_server: Redis
) -> None:
    async with asking(settings) as queue:
        assert not (await queue.runner.plan(TASK)).receipt.fallback
        redis_server.kill()
        try:
            for _ in range(8):
                since = time.monotonic()
                fallback = (await queue.runner.plan(TASK)).receipt.fallback
                assert time.monotonic() - since < 10
            assert "left alone" in fallback
            queue.nudge("ingest", 1000)
            while queue.reachable:
                assert time.monotonic() - since < 30
                await asyncio.sleep(0.05)
            queue.check()
        finally:
            redis_server.start()
        back = time.monotonic()
        while (await queue.runner.plan(TASK)).receipt.fallback:
            assert time.monotonic() - back < 60, "the workers are not used again"
            await asyncio.sleep(0.1)


async def test_a_broker_that_hangs_costs_little(settings: Settings, redis_server: Redis) -> None:
    assert redis_server.process is not None
    async with asking(settings) as queue:
        redis_server.process.send_signal(signal.SIGSTOP)
        try:
            since = time.monotonic()
            results = await asyncio.gather(*(queue.runner.plan(TASK) for _ in range(20)))
            assert all(result.receipt.fallback for result in results)
            assert time.monotonic() - since < 2 * STAGE_S + 10
        finally:
            redis_server.process.send_signal(signal.SIGCONT)
        back = time.monotonic()
        while (await queue.runner.plan(TASK)).receipt.fallback:
            assert time.monotonic() - back < 60, "the workers are not used again"
            await asyncio.sleep(0.1)
