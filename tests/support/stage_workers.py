"""Worker processes of the small stages, on a real Redis, with their models on the stub; and the side that asks."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from pipelines.cite import EncoderCiter
from pipelines.core.settings import Role, Settings
from pipelines.plan import ContextPlanner
from pipelines.prune import EncoderPruner
from services.queue.client import QueueClient
from services.queue.lesser import LesserWays
from tests.support.cluster import StrataProcess
from tests.support.commands import worker
from tests.support.hash_encoder import HashEncoder
from tests.support.model_stub import ModelStub, Request
from tests.support.servers import Redis

NOWHERE = "127.0.0.1:9"  # the stages need neither index nor state: nothing answers there
CONCURRENCY = 2
STAGE_S = 2.0


class StageWorkers:
    """Worker processes of one Redis, and ways to ask them."""

    def __init__(self, redis: Redis, stub: ModelStub, folder: Path) -> None:
        self.redis, self.stub, self._folder = redis, stub, folder
        self._stack = ExitStack()
        self._count = 0

    def configure(self, **sections: Any) -> Settings:
        """Writes the configuration that later starts read, and gives it."""
        shared = {"api_base": self.stub.url, "api_key": "sk-stub"}
        given: dict[str, Any] = {
            "index": {"mode": "server", "url": f"http://{NOWHERE}"},
            "state": {"url": f"postgresql+psycopg://nobody@{NOWHERE}/none?connect_timeout=1"},
            "queue": {"url": self.redis.url, "timeout_s": 1.0, "concurrency": CONCURRENCY},
            "models": [{"model_name": "small", "litellm_params": {"model": "openai/small", **shared}}],
            "stages": {"plan": "small"},
            "plan": {"timeout_s": STAGE_S},
        }
        for section, values in sections.items():
            given[section] = {**given.get(section, {}), **values}
        (self._folder / "strata.yaml").write_text(json.dumps(given))
        return Settings.model_validate(given)

    def start(self, *roles: Role) -> StrataProcess:
        """A worker that takes tasks."""
        self._count += 1
        environment = {"STRATA_CONFIG": str(self._folder / "strata.yaml")}
        process = StrataProcess(f"worker-{self._count}", worker(*roles), self._folder, environment, own_host=False)
        self._stack.callback(process.clear)
        process.start()
        return process

    def close(self) -> None:
        """Ends them all."""
        self._stack.close()
        shutil.rmtree(self._folder, ignore_errors=True)


@asynccontextmanager
async def asking(settings: Settings, hedged: Callable[[str], None] = lambda _: None) -> AsyncIterator[QueueClient]:
    """The sending side, listening."""
    pruner = EncoderPruner(HashEncoder(), settings.prune)  # type: ignore[arg-type]
    citer = EncoderCiter(HashEncoder(), settings.cite)  # type: ignore[arg-type]
    lesser = LesserWays(settings.stages, planner=ContextPlanner(settings.plan), pruner=pruner, citer=citer)
    queue = QueueClient(settings, lesser, hedged)
    await queue.start()
    try:
        while not queue.reachable:
            await asyncio.sleep(0.01)
        yield queue
    finally:
        await queue.aclose()


async def call(stub: ModelStub, number: int = 1) -> Request:
    """The model call of that number, once it has come."""
    end = time.monotonic() + 30
    while len(stub.calls()) < number:
        assert time.monotonic() < end, "no call came"
        await asyncio.sleep(0.01)
    return stub.calls()[number - 1]
