"""Many answers streamed by one API process, whose synthesis is a stub of fixed delay: what is not model time.

    python -m benchmarks.streams [--part at_once|steady] [--quick] [--json FILE]

at_once: 1, 20 and 200 questions asked at the same moment, answers of 2 s. On few cores 200 of them measure a queue: the
last one waits until all others have been worked on.
steady: so many questions a second, answers so long that 200 streams are open all the time.

`beside_models_ms` is a question's time less what it waited for models, by its receipt; `beyond_delays_ms` its time less
the stubs' delays, so with what the stubs themselves come late. The processor's time is given process by process:
`api` and `stages` are Strata, the rest is what else ran on this machine.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from benchmarks.distributed import (
    DOCUMENTS,
    INGEST,
    STAGES,
    Processor,
    client_of,
    fallbacks,
    fill,
    run_parts,
    spread_ms,
)
from benchmarks.load import question
from tests.support.cluster import Cluster
from tests.support.slow_models import SlowModels

DELAYS_S = {"plan": 0.05, "prune": 0.1, "cite": 0.05}
AT_ONCE, AT_ONCE_S = (1, 20, 200), 2.0
OPEN, RATE = 200, 5.0
STEADY_S = OPEN / RATE
ROOM = {"max_concurrent_questions": 1000}


def main() -> None:
    """Prints the figures as JSON, part by part."""
    run_parts(PARTS, __doc__)


def at_once(share: float) -> dict[str, Any]:
    with _cluster(AT_ONCE_S) as cluster:
        numbers = sorted({max(1, round(number * share)) for number in AT_ONCE})
        return {str(number): asyncio.run(_at_once(cluster, number)) for number in numbers}


async def _at_once(cluster: Cluster, number: int) -> dict[str, Any]:
    async def ask_all(ask: Callable[[int], Awaitable[None]]) -> None:
        await asyncio.gather(*(ask(at) for at in range(number)))

    return await _measured(cluster, AT_ONCE_S, ask_all)


def steady(share: float) -> dict[str, Any]:
    """Until the first answers end nothing is measured; then for as long as an answer takes."""
    rate = RATE * share
    total = round(2 * rate * STEADY_S)
    with _cluster(STEADY_S) as cluster:
        return {"a_second": rate, **asyncio.run(_steady(cluster, rate, total))}


async def _steady(cluster: Cluster, rate: float, total: int) -> dict[str, Any]:
    async def ask_all(ask: Callable[[int], Awaitable[None]]) -> None:
        asked = []
        for at in range(total):
            asked.append(asyncio.ensure_future(ask(at)))
            await asyncio.sleep(1 / rate)
        await asyncio.gather(*asked)

    return await _measured(cluster, STEADY_S, ask_all, leave_out=total // 2)


def _cluster(answer_s: float) -> "_Filled":
    models = SlowModels(**DELAYS_S, synthesize=answer_s)
    settings = {
        "queue": {"concurrency": 64},
        "api": ROOM,
        "answer": {"deadline_s": 3 * answer_s + 60},
        "model_calls": {"timeout_s": 3 * answer_s},
    }
    return _Filled(workers={"stages": STAGES, "ingest": INGEST}, models=models, settings=settings)


class _Filled(Cluster):
    def __enter__(self) -> "_Filled":
        super().__enter__()
        fill(self)
        return self


@dataclass
class _Seen:
    """Of the questions that count."""

    beside_ms: list[float] = field(default_factory=list)
    beyond_ms: list[float] = field(default_factory=list)
    fell_back: int = 0
    failed: int = 0
    open_now: int = 0
    open_most: int = 0


async def _measured(
    cluster: Cluster,
    answer_s: float,
    ask_all: Callable[[Callable[[int], Awaitable[None]]], Awaitable[None]],
    leave_out: int = 0,
) -> dict[str, Any]:
    seen, processor = _Seen(), Processor(cluster)
    delays_ms = (sum(DELAYS_S.values()) + answer_s) * 1000
    async with client_of(cluster) as client:

        async def ask(at: int) -> None:
            began = time.perf_counter()
            seen.open_now += 1
            seen.open_most = max(seen.open_most, seen.open_now)
            receipt = await _receipt(client, at)
            seen.open_now -= 1
            if at < leave_out:
                return
            if receipt is None:
                seen.failed += 1
                return
            wall_ms = (time.perf_counter() - began) * 1000
            seen.beside_ms.append(wall_ms - sum(stage["usage"]["model_ms"] for stage in receipt["stages"]))
            seen.beyond_ms.append(wall_ms - delays_ms)
            seen.fell_back += fallbacks(receipt) > 0

        with processor.watching():
            await ask_all(ask)
    counted = leave_out + len(seen.beside_ms) + seen.failed
    return {
        "open_at_most": seen.open_most,
        "beside_models_ms": spread_ms(seen.beside_ms),
        "beyond_delays_ms": spread_ms(seen.beyond_ms),
        "fallbacks": seen.fell_back,
        "failed": seen.failed,
        **processor.figures(counted),
    }


async def _receipt(client: httpx.AsyncClient, at: int) -> dict[str, Any] | None:
    """Reads a stream to its end; `None` where that is no answer."""
    body = {"question": question(at % DOCUMENTS), "stream": True}
    async with client.stream("POST", "/v1/ask", json=body) as response:
        async for kind, data in _events(response):
            if kind == "answer":
                found: dict[str, Any] = data["answer"]["receipt"]
                return found
    return None


async def _events(response: httpx.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    name = ""
    async for line in response.aiter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


PARTS: dict[str, Callable[[float], dict[str, Any]]] = {"at_once": at_once, "steady": steady}

if __name__ == "__main__":
    main()
