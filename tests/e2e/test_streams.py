"""Many streams on one API process of the distributed form, with a large model that takes its time."""

import asyncio
from collections.abc import Iterator

import httpx
import psutil
import pytest

from pipelines.core.settings import Role
from tests.support.api_server import wait_for_job
from tests.support.cluster import API, Cluster
from tests.support.servers import Postgres, Redis
from tests.support.services import missing
from tests.support.slow_models import SlowModels

pytestmark = [pytest.mark.network, pytest.mark.slow]

TEXT = "The tank of the club's tow plane holds ninety litres."
WATCH_S = 0.05


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster that holds one document."""
    for server in (Redis, Postgres):
        if server.program() is None:
            missing(f"{server.name} is not installed")
    workers: dict[str, tuple[Role, ...]] = {"all": ("plan", "prune", "cite", "ingest")}
    with Cluster(workers=workers, models=SlowModels(synthesize=1.0)) as started:
        job = started.client.post("/v1/documents", json={"documents": [{"text": TEXT}]})
        assert wait_for_job(started.client, job.headers["location"], 60)["counts"]["indexed"] == 1
        yield started


async def stream(client: httpx.AsyncClient) -> bool:
    """Whether a stream ends with an answer."""
    body = {"question": "How many litres does the tank of the tow plane hold?", "stream": True}
    async with client.stream("POST", "/v1/ask", json=body) as response:
        return response.status_code == 200 and "event: answer" in [line async for line in response.aiter_lines()]


async def threads_during(cluster: Cluster, number: int) -> set[int]:
    """The numbers of threads of the API while so many streams are open."""
    process = cluster.parts[API].process
    assert process is not None
    api, seen = psutil.Process(process.pid), set[int]()
    async with httpx.AsyncClient(
        base_url=cluster.client.base_url,
        headers=cluster.client.headers,
        timeout=60,
        limits=httpx.Limits(max_connections=None),
    ) as client:
        asked = [asyncio.ensure_future(stream(client)) for _ in range(number)]
        while not all(each.done() for each in asked):
            seen.add(api.num_threads())
            await asyncio.sleep(WATCH_S)
    assert all(each.result() for each in asked)
    return seen


def test_a_hundred_streams_take_no_more_threads_than_one(cluster: Cluster) -> None:
    asyncio.run(threads_during(cluster, 1))  # whatever starts at the first question has started
    one, hundred = (asyncio.run(threads_during(cluster, number)) for number in (1, 100))
    assert max(hundred) - max(one) <= 1, (one, hundred)
