"""What it costs that stages run on workers, and what it brings; models are stubs of fixed delay.

    python -m benchmarks.distributed [--part overhead|saturation] [--quick] [--json FILE]

overhead: the same questions with the stages in this process and on workers, in turns, 1, 8 and 32 at a time.
saturation: questions a second over one API, with one and with two workers a stage of two tasks at a time, and what
processor time a question takes in each process.

A cluster is started on this machine, which all its processes share: Redis, PostgreSQL, the stand-in of a Qdrant server,
the models, the API and the workers. On few cores, what they compute for each other is part of every figure.
`benchmarks.streams` measures many streams at a time.
"""

import argparse
import asyncio
import json
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.load import document, question
from pipelines.core.settings import Role
from pipelines.core.types import Answer, Question
from services.evaluation.statistics import spread
from services.runtime import Runtime
from tests.support.api_server import wait_for_job
from tests.support.cluster import API, Cluster
from tests.support.slow_models import SlowModels

DOCUMENTS = 50
AT_A_TIME = (1, 8, 32)
GOAL_MS = 25.0
STAGES: tuple[Role, ...] = ("plan", "prune", "cite")
INGEST: tuple[Role, ...] = ("ingest",)
WATCH_S = 0.05


def main() -> None:
    """Prints the figures as JSON, part by part."""
    run_parts(PARTS, __doc__)


def run_parts(parts: Mapping[str, Callable[[float], dict[str, Any]]], description: str | None) -> None:
    """Runs the parts that the command line names, else all, and prints the figures of each as it ends."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=parts, action="append")
    parser.add_argument("--quick", action="store_true", help="a tenth of the load: shows that it runs, no more")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {}
    for part in options.part or parts:
        found[part] = parts[part](0.1 if options.quick else 1.0)
        print(json.dumps({part: found[part]}, indent=2), flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))


def fill(cluster: Cluster) -> None:
    """Has the cluster index what is asked for."""
    documents = [document(number, "tank") for number in range(DOCUMENTS)]
    job = cluster.client.post("/v1/documents", json={"documents": documents})
    job.raise_for_status()
    assert wait_for_job(cluster.client, job.headers["location"], 120)["counts"]["indexed"] == DOCUMENTS


def spread_ms(values: list[float]) -> dict[str, float]:
    found = spread(values)
    return {"p50": round(found.p50, 1), "p95": round(found.p95, 1)}


async def at_a_time(number: int, total: int, work: Callable[[int], Awaitable[None]]) -> float:
    """Does the work for 0 to `total`, so much of it at a time; returns the seconds that it took."""
    left = iter(range(total))

    async def worker() -> None:
        for each in left:
            await work(each)

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(number)))
    return time.perf_counter() - began


def fallbacks(receipt: dict[str, Any]) -> int:
    return sum(bool(stage["fallback"]) for stage in receipt["stages"])


class Processor:
    """Processor time of every process of a cluster, and the threads of its API."""

    def __init__(self, cluster: Cluster) -> None:
        parts = {**cluster.parts, **({"models": cluster.models} if cluster.models else {})}
        running = {name: part.process for name, part in parts.items() if part.process is not None}
        self._processes = {name: psutil.Process(process.pid) for name, process in running.items()}
        self._ended = threading.Event()
        self._seconds: Mapping[str, float] = {}
        self._wall_s = 0.0
        self._threads: list[int] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Measures the block."""
        began, before = time.perf_counter(), self._now()
        watch = threading.Thread(target=self._count_threads, daemon=True)
        watch.start()
        try:
            yield
        finally:
            self._ended.set()
            watch.join()
            self._wall_s, now = time.perf_counter() - began, self._now()
            self._seconds = {name: now[name] - before[name] for name in now}

    def figures(self, questions: int) -> dict[str, Any]:
        """Of the block, in which so many questions were asked."""
        return {
            "seconds": round(self._wall_s, 2),
            "processor_ms_a_question": {
                name: round(seconds * 1000 / questions, 1) for name, seconds in self._seconds.items()
            },
            "processors_busy": round(sum(self._seconds.values()) / self._wall_s, 2),
            "api_threads": [min(self._threads), max(self._threads)],
        }

    def _now(self) -> dict[str, float]:
        found = {name: sum(_cpu_s(each) for each in _family(root)) for name, root in self._processes.items()}
        return {**found, "client": time.process_time()}

    def _count_threads(self) -> None:
        while True:
            self._threads.append(self._processes[API].num_threads())
            if self._ended.wait(WATCH_S):
                return


def _family(root: psutil.Process) -> list[psutil.Process]:
    return [root, *root.children(recursive=True)]


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


# --- Overhead --------------------------------------------------------------------------------------------------------


def overhead(share: float) -> dict[str, Any]:
    models = SlowModels(plan=0.05, prune=0.1, synthesize=0.2, cite=0.05)
    settings = {"queue": {"concurrency": 32}}
    workers = {"stages": STAGES, "ingest": INGEST}
    with Cluster(workers=workers, models=models, settings=settings) as cluster:
        fill(cluster)
        return asyncio.run(_overhead(cluster, max(10, round(200 * share))))


async def _overhead(cluster: Cluster, questions: int) -> dict[str, Any]:
    ways = {name: Runtime(cluster.settings, remote_stages=name == "workers") for name in ("inline", "workers")}
    found: dict[str, Any] = {"questions": questions, "goal_ms": GOAL_MS}
    try:
        for runtime in ways.values():
            await asyncio.to_thread(runtime.warm_up)
        await ways["workers"].queue.start()
        for runtime in ways.values():
            await runtime.ask(Question(text=question(0)))
        for number in AT_A_TIME:
            found[str(number)] = await _compare(ways, number, questions)
    finally:
        for runtime in ways.values():
            await runtime.aclose()
    return found


async def _compare(ways: dict[str, Runtime], number: int, questions: int) -> dict[str, Any]:
    ms: dict[str, list[float]] = {name: [] for name in ways}
    fell_back = 0

    async def ask(name: str, at: int) -> None:
        nonlocal fell_back
        began = time.perf_counter()
        answer: Answer = await ways[name].ask(Question(text=question(at % DOCUMENTS)))
        ms[name].append((time.perf_counter() - began) * 1000)
        fell_back += any(stage.fallback for stage in answer.receipt.stages)

    rounds = max(1, questions // max(number, 10))
    for _ in range(rounds):  # in turns, so that whatever else the machine does falls on both
        for name in random.sample(sorted(ways), len(ways)):
            await at_a_time(number, questions // rounds, partial(ask, name))
    spreads = {name: spread_ms(values) for name, values in ms.items()}
    added = {each: round(spreads["workers"][each] - spreads["inline"][each], 1) for each in ("p50", "p95")}
    return {**spreads, "added_ms": added, "fallbacks": fell_back}


# --- Saturation ------------------------------------------------------------------------------------------------------


def saturation(share: float) -> dict[str, Any]:
    return {f"{number} a stage": _saturated(number, max(20, round(400 * share))) for number in (1, 2)}


def _saturated(number: int, questions: int) -> dict[str, Any]:
    models = SlowModels(plan=0.1, prune=0.2, synthesize=0.05, cite=0.1)
    workers = {f"{stage}-{each}": (stage,) for stage in STAGES for each in range(number)} | {"ingest": INGEST}
    settings = {"queue": {"concurrency": 2}}
    with Cluster(workers=workers, models=models, settings=settings) as cluster:
        fill(cluster)
        return asyncio.run(_saturate(cluster, questions))


async def _saturate(cluster: Cluster, questions: int) -> dict[str, Any]:
    statuses: list[int] = []
    fell_back = 0
    async with client_of(cluster) as client:

        async def ask(at: int) -> None:
            nonlocal fell_back
            response = await client.post("/v1/ask", json={"question": question(at % DOCUMENTS)})
            statuses.append(response.status_code)
            fell_back += response.status_code == 200 and fallbacks(response.json()["receipt"]) > 0

        processor = Processor(cluster)
        with processor.watching():
            seconds = await at_a_time(32, questions, ask)
    answered = statuses.count(200)
    return {
        "answered": answered,
        "refused": len(statuses) - answered,
        "fallbacks": fell_back,
        "per_second": round(answered / seconds, 1),
        **processor.figures(questions),
    }


def client_of(cluster: Cluster) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=cluster.client.base_url,
        headers=cluster.client.headers,
        timeout=70,
        limits=httpx.Limits(max_connections=None),
    )


PARTS: dict[str, Callable[[float], dict[str, Any]]] = {
    "overhead": overhead,
    "saturation": saturation,
}

if __name__ == "__main__":
    main()
