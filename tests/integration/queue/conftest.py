"""Real workers of the stages, shared by the tests of a module."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.model_stub import ModelStub
from tests.support.servers import Redis
from tests.support.stage_workers import StageWorkers


@pytest.fixture(scope="module")
def stub() -> Iterator[ModelStub]:
    with ModelStub() as server:
        yield server


@pytest.fixture(scope="module")
def workers(redis_server: Redis, stub: ModelStub) -> Iterator[StageWorkers]:
    """None at first; those that are started end with the module."""
    redis_server.flush()
    started = StageWorkers(redis_server, stub, Path(tempfile.mkdtemp(prefix="strata-workers-")))
    yield started
    started.close()
