"""The real app on a real port of loopback, in a thread."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import httpx
import uvicorn
from fastapi import FastAPI

from services.api import create_app
from services.runtime import Runtime

START_S = 60.0


class ApiServer:
    """Serves a runtime's app inside a `with` block; the block's end closes the runtime.

    Args:
        wait: Enter the block once the service works, not as soon as it listens.
    """

    def __init__(self, runtime: Runtime, *, wait: bool = True) -> None:
        self.runtime = runtime
        self._wait = wait
        self.app: FastAPI = create_app(runtime.settings, runtime)
        config = uvicorn.Config(self.app, port=0, access_log=False, log_config=None, timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.servers[0].sockets[0].getsockname()[1])

    def __enter__(self) -> Self:
        self._thread.start()
        self._until(lambda: self._server.started)
        if self._wait:
            self.wait()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)
        return self

    def wait(self) -> None:
        """Waits until its parts are there."""
        self._until(lambda: self.app.state.life.context is not None)

    def _until(self, reached: Callable[[], bool]) -> None:
        end = time.monotonic() + START_S
        while not reached():
            if not self._thread.is_alive() or self.app.state.life.failure or time.monotonic() > end:
                raise RuntimeError("the server did not start")
            time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()

    # --- Shorthand -------------------------------------------------------------------------------------------------

    def add(self, texts: dict[str, str], **fields: Any) -> list[str]:
        """Submits texts by name, waits until they are indexed, and gives their ids."""
        documents = [{"text": text, "name": name, **fields} for name, text in texts.items()]
        response = self.client.post("/v1/documents", json={"documents": documents})
        assert response.status_code == 202, response.text
        job = wait_for_job(self.client, response.headers["location"])
        assert job["counts"]["failed"] == 0, job
        return [item["document_id"] for item in job["items"]]

    def ask(self, question: str, **fields: Any) -> httpx.Response:
        """Asks, for JSON."""
        return self.client.post("/v1/ask", json={"question": question, **fields})

    def ask_events(self, question: str, **fields: Any) -> list[tuple[str, dict[str, Any]]]:
        """Asks, for events, and reads them all."""
        body = {"question": question, "stream": True, **fields}
        with self.client.stream("POST", "/v1/ask", json=body) as response:
            assert response.status_code == 200
            return list(read_events(response))


def read_events(response: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and data of server-sent events."""
    name = ""
    for line in response.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def wait_for_job(client: httpx.Client, location: str, timeout_s: float = 30.0) -> dict[str, Any]:
    """The job once it is finished."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        job: dict[str, Any] = client.get(location).json()
        if job["finished"]:
            return job
        time.sleep(0.05)
    raise AssertionError(f"the job did not finish: {job}")


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Checks that a response is a problem of this kind, and gives it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    details: dict[str, Any] = response.json()
    assert (details["status"], details["code"]) == (status, code), details
    assert details["type"] == f"urn:strata:problem:{code}"
    assert details["request_id"] == response.headers["x-request-id"]
    assert details["detail"]
    return details
