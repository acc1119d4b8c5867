"""Rates of keys over all processes of the service, counted in a real Redis."""

import asyncio
import time

import pytest

from pipelines.core.errors import RateLimitedError
from pipelines.core.settings import Settings
from services.api.rates import Rates
from tests.support.servers import Redis
from tests.support.services import missing

pytestmark = pytest.mark.network


def settings(url: str) -> Settings:
    return Settings.model_validate(
        {
            "queue": {"url": url, "prefix": "test"},
            "index": {"mode": "server", "url": "http://127.0.0.1:1"},
            "state": {"url": "postgresql://nowhere"},
        }
    )


async def admitted(rates: list[Rates], requests: int, rate: int, key: str = "k") -> int:
    """How many of so many requests, spread over processes and made at once, get through."""
    calls = (rates[number % len(rates)].count(key, rate) for number in range(requests))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(each) for each in outcomes if each is not None} <= {RateLimitedError}
    return sum(each is None for each in outcomes)


async def test_processes_count_together(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.api.rates.REDIS_TIMEOUT_S", 20.0)  # a busy machine is no Redis that is away
    processes = [Rates(settings(redis_url)) for _ in range(3)]
    try:
        assert await admitted(processes, 60, 30) == 30
        assert await admitted(processes, 5, 30, key="another") == 5
        assert all(name.startswith(b"test:rates") for name in (await _names(processes[0])))
    finally:
        for each in processes:
            await each.aclose()


async def _names(rates: Rates) -> list[bytes]:
    assert rates._redis is not None
    found: list[bytes] = await rates._redis.bridge.get_connection().keys("*")
    return found


async def test_counting_costs_little(redis_url: str) -> None:
    rates = Rates(settings(redis_url))
    try:
        await rates.count("k", 1000)  # connects
        before = time.process_time()
        for _ in range(100):
            await rates.count("k", 1000)
        assert time.process_time() - before < 0.5  # of the processor, whatever else it does
    finally:
        await rates.aclose()


async def test_each_process_counts_for_itself_while_redis_is_away() -> None:
    if Redis.program() is None:
        missing("redis-server is not installed")
    with Redis() as gone:
        rates = Rates(settings(gone.url))
        try:
            assert await admitted([rates], 3, 5) == 3
            gone.kill()
            assert await admitted([rates], 20, 5) == 5
            assert rates._breaker.open_for_s > 0  # nobody waits for Redis any more
            assert await admitted([rates], 20, 5) == 0
        finally:
            await rates.aclose()
