"""A stand-in for a Qdrant server: its REST interface over HTTP, on Qdrant's own engine (qdrant-edge), in one process.

`python -m tests.support.qdrant_server --port P --path DIR` serves DIR, durably. It speaks the URLs, JSON and statuses
of the endpoints that `ServerStore` uses, several clients at once, and refuses what it does not know.

It shows that our client, its requests, retries and threads work over a real connection to a server that can be killed.
It is written from the documentation, the client's models and the behaviour of the engine, so it cannot show that a real
server understands the same requests, nor anything of its optimiser, HNSW indexes, shards, replicas, consensus, memory
or speed. Set STRATA_TEST_QDRANT_URL to run the same tests against a real one.

`PUT /faults` makes the following requests fail: `{"status": 503, "times": 2, "headers": {…}, "delay_s": 0.5}`.
`GET /counts` tells how many passages were written, and how many of them though they were there already.
`--pause-s` waits between two operations of one batch, so that readers meet the state between them.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.process import Server

ROOT = Path(__file__).parents[2]
IN_MEMORY = Path("/dev/shm")
"""Outlives the server's process, and spares the time that a disk takes to sync."""
QDRANT_URL = "STRATA_TEST_QDRANT_URL"


class Qdrant(Server):
    """The stand-in as a process of a `with` block; it may be killed and started again.

    Args:
        pause_s: Between two operations of one batch.
    """

    name = "qdrant"
    parent = IN_MEMORY if IN_MEMORY.is_dir() else None

    def __init__(self, *, api_key: str | None = None, pause_s: float = 0.0) -> None:
        super().__init__()
        self._api_key, self._pause_s = api_key, pause_s

    @property
    def url(self) -> str:
        """For `index.url`."""
        return f"http://127.0.0.1:{self.port}"

    def fail(self, times: int, *, status: int | None = None, delay_s: float = 0.0, **headers: str) -> None:
        """Makes the next requests fail or wait; `Retry_After="2"` gives a header."""
        fault: dict[str, Any] = {"times": times, "delay_s": delay_s}
        if status is not None:
            fault |= {"status": status, "headers": {name.replace("_", "-"): value for name, value in headers.items()}}
        key = {"api-key": self._api_key} if self._api_key else {}
        httpx.put(f"{self.url}/faults", json=fault, headers=key).raise_for_status()

    def counts(self) -> dict[str, int]:
        """`passages_written` since its start, and of them `passages_written_again`, which were there already."""
        counts: dict[str, int] = httpx.get(f"{self.url}/counts").raise_for_status().json()["result"]
        return counts

    def _options(self) -> dict[str, Any]:
        return {"cwd": ROOT}

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "tests.support.qdrant_server", "--port", str(self.port)]
        command += ["--path", str(self.folder / "data"), "--pause-s", str(self._pause_s)]
        return command + (["--api-key", self._api_key] if self._api_key else [])

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


def drop_collections(url: str, prefix: str) -> None:
    """Removes the collections whose names begin so."""
    with httpx.Client(base_url=url) as client:
        for each in client.get("/collections").raise_for_status().json()["result"]["collections"]:
            if each["name"].startswith(prefix):
                client.delete(f"/collections/{each['name']}").raise_for_status()


def main() -> None:
    """Serves until it is told to end."""
    import uvicorn

    from tests.support.qdrant_app import application
    from tests.support.qdrant_storage import Catalogue

    parser = argparse.ArgumentParser(description="A stand-in for a Qdrant server.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--api-key")
    parser.add_argument("--pause-s", type=float, default=0.0)
    options = parser.parse_args()
    catalogue = Catalogue(options.path)
    app = application(catalogue, api_key=options.api_key, pause_s=options.pause_s)
    try:
        uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", timeout_graceful_shutdown=2)
    finally:
        catalogue.close()


# --- Fixtures, known to every test through tests/conftest.py ---------------------------------------------------------


@pytest.fixture(scope="session")
def qdrant_server() -> Iterator[Qdrant]:
    """One server for all tests; each takes a collection of its own. A test that kills it starts it again."""
    with Qdrant() as server:
        yield server


@pytest.fixture(scope="session")
def qdrant_url(request: pytest.FixtureRequest) -> str:
    """The real Qdrant server that STRATA_TEST_QDRANT_URL names, or else the stand-in."""
    server: Qdrant | None = None if QDRANT_URL in os.environ else request.getfixturevalue("qdrant_server")
    return os.environ[QDRANT_URL] if server is None else server.url


if __name__ == "__main__":
    main()
