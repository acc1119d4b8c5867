"""The service does what its own description says, whatever is sent. `python -m benchmarks.fuzz` sends more."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.core.settings import Settings
from services.api.auth import OPEN
from services.runtime import Runtime
from tests.support.api_server import ApiServer
from tests.support.fuzz import fuzz
from tests.support.hash_encoder import HashEncoder

pytestmark = pytest.mark.network
EXAMPLES = 4


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        runtime = Runtime(Settings.model_validate({"data_dir": folder, "api": {"keys": "required"}}))
        runtime.encoder = HashEncoder()  # type: ignore[assignment]
        with ApiServer(runtime) as server:
            yield server


def test_nothing_undocumented_comes_back(server: ApiServer) -> None:
    _, secret = server.runtime.keys.create("default", "fuzz", ["admin"])
    url = f"http://127.0.0.1:{server.port}"
    tally = fuzz(server.app.openapi(), url, examples=EXAMPLES, authorization=f"Bearer {secret}")
    assert tally.requests > 100
    assert not tally.failures, "\n\n".join(tally.failures.values())
    assert any(status < 300 for _, status in tally.statuses)


def test_nothing_is_reached_without_a_key(server: ApiServer) -> None:
    url = f"http://127.0.0.1:{server.port}"
    tally = fuzz(server.app.openapi(), url, examples=EXAMPLES, authorization=None, allowed=refused)
    assert tally.requests > 100
    assert not tally.failures, "\n\n".join(tally.failures.values())


def refused(path: str, status: int) -> bool:
    """Whether a status lets nobody in: 429 comes once an address has sent too many requests without a key."""
    return path in OPEN or status in (401, 429)
