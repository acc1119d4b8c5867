"""The REST service in front of a queue: what it answers when nobody works, and when too much waits."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from pipelines.core.encoders import Encoder
from pipelines.core.settings import Settings
from services.runtime import Runtime
from tests.support.api_server import ApiServer, assert_problem
from tests.support.hash_encoder import HashEncoder
from tests.support.servers import Redis

pytestmark = pytest.mark.network

KEY = "a-key-of-the-tests-" + 20 * "x"
MAX_WAITING = 3


@pytest.fixture
def server(tmp_path: Path, redis_url: str, postgres_url: str, qdrant_url: str) -> Iterator[ApiServer]:
    """One API process without any worker."""
    stages: dict[str, Any] = {stage: {"timeout_s": 0.2} for stage in ("plan", "prune", "cite")}
    settings = Settings.model_validate(
        {
            "data_dir": tmp_path,
            "index": {"mode": "server", "url": qdrant_url, "collection": f"queue-{tmp_path.name[:40]}"},
            "state": {"url": postgres_url},
            "queue": {"url": redis_url, "max_waiting": MAX_WAITING, "timeout_s": 5.0},
            "api": {"bootstrap_key": KEY},
            **stages,
        }
    )
    runtime = Runtime(settings, remote_stages=True)
    runtime.encoder = cast(Encoder, HashEncoder())
    with ApiServer(runtime) as started:
        started.client.headers["Authorization"] = f"Bearer {KEY}"
        yield started


def ask(server: ApiServer) -> httpx.Response:
    return server.client.post("/v1/ask", json={"question": "How tall is the viaduct?"})


def test_questions_are_refused_while_a_queue_is_full_and_answered_in_this_process_without_workers(
    server: ApiServer, redis_server: Redis
) -> None:
    answer = ask(server).json()
    stages = {stage["stage"]: stage for stage in answer["receipt"]["stages"]}
    assert "No worker" in stages["plan"]["fallback"]
    assert answer["status"] == "insufficient_evidence"  # the index is empty
    redis_server.command("DEL", "strata.prune", "strata.plan")
    redis_server.command("LPUSH", "strata.cite", *["waits"] * MAX_WAITING)
    wait_for(server, MAX_WAITING)
    response = ask(server)
    assert_problem(response, 503, "overloaded")
    assert int(response.headers["retry-after"]) >= 1
    redis_server.command("DEL", "strata.cite")
    wait_for(server, 0)
    assert ask(server).status_code == 200


def wait_for(server: ApiServer, waiting: int) -> None:
    """Waits until the service has seen so long a queue."""
    end = time.monotonic() + 30
    while server.runtime.queue.depths["cite"].waiting != waiting:
        assert time.monotonic() < end
        time.sleep(0.05)
