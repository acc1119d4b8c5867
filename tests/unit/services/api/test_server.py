"""How the service starts, and how it ends."""

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from pipelines.core.errors import ConfigurationError, StrataError
from pipelines.core.settings import Settings, TelemetrySettings
from services.api.life import Life
from services.api.server import Server, serve
from services.runtime import Runtime

pytestmark = pytest.mark.network


def here(folder: Path) -> Settings:
    return Settings.model_validate({"data_dir": folder, "api": {"port": 0}})


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConfigurationError("index.mode cannot be that"), "index.mode cannot be that"),
        (ZeroDivisionError("SECRET"), "did not start"),
        (FileExistsError(17, "File exists", "there"), "File exists: there"),
    ],
    ids=["ours", "foreign", "disk"],
)
def test_a_service_that_cannot_start_says_why_and_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str], error: Exception, told: str
) -> None:
    def broken(_: Runtime) -> None:
        raise error

    monkeypatch.setattr(Runtime, "warm_up", broken)
    with pytest.raises(StrataError, match=told):
        serve(here(tmp_path))
    assert "SECRET" not in capfd.readouterr().err


def test_what_telemetry_asks_for_in_vain_ends_the_start(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        telemetry = {"metrics_port": taken.getsockname()[1]}
        with pytest.raises(ConfigurationError, match="metrics_port"):
            serve(here(tmp_path).model_copy(update={"telemetry": TelemetrySettings.model_validate(telemetry)}))


class Slow:
    """An app whose requests last until they are let go."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self.go = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        if scope["path"] != "/phase":
            with self._life.request():
                await asyncio.to_thread(self.go.wait, 20)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self._life.phase.encode()})


@contextmanager
def draining(tmp_path: Path, shutdown_s: float) -> Iterator[tuple[Server, Slow, Callable[[str], httpx.Response]]]:
    life = Life(Runtime(here(tmp_path)), lambda: None)
    app = Slow(life)
    server = Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1), life,
                    shutdown_s)  # fmt: skip
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield server, app, lambda path: httpx.get(f"http://127.0.0.1:{port}{path}", timeout=20)
    finally:
        server.should_exit = True
        app.go.set()
        thread.join(10)
        assert not thread.is_alive()


def test_told_to_stop_it_lets_requests_end_and_says_so_to_probes(tmp_path: Path) -> None:
    with draining(tmp_path, shutdown_s=30) as (server, app, get):
        found: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: found.append(get("/v1/ask")))
        asking.start()
        while not app._life.active:
            time.sleep(0.01)
        server.handle_exit(signal.SIGTERM, None)
        time.sleep(0.5)
        assert get("/phase").text == "stopping"
        assert not server.should_exit
        app.go.set()
        asking.join(10)
        assert found[0].status_code == 200


def test_requests_that_do_not_end_are_not_waited_for_beyond_the_time(tmp_path: Path) -> None:
    with draining(tmp_path, shutdown_s=0.3) as (server, app, get):
        found: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: found.append(get("/v1/ask")))
        asking.start()
        while not app._life.active:
            time.sleep(0.01)
        started = time.monotonic()
        server.handle_exit(signal.SIGTERM, None)
        asking.join(10)
        assert found[0].status_code == 500  # cancelled
        assert time.monotonic() - started < 15


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with draining(tmp_path, shutdown_s=30) as (server, app, _):
        app._life.active = 1
        server.handle_exit(signal.SIGTERM, None)
        server.handle_exit(signal.SIGTERM, None)
        assert server.should_exit
