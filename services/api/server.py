"""Runs the app on uvicorn."""

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from pipelines.core.settings import Settings
from services.api.app import create_app
from services.api.gatekeeper import require_a_key
from services.api.life import Life
from services.runtime import Runtime
from services.telemetry.process import observed

CUT_S = 1
"""For requests that have not ended in time: they are cancelled, and may say so."""


class Server(uvicorn.Server):
    """Told to stop, it takes no further work, says so to probes, and ends once its requests have ended.

    A second signal ends it at once.

    Args:
        shutdown_s: How long running requests may take.
    """

    def __init__(self, config: uvicorn.Config, life: Life, shutdown_s: float) -> None:
        super().__init__(config)
        self._life, self._shutdown_s = life, shutdown_s
        self._until = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came."""
        if self._life.stopping:
            super().handle_exit(sig, frame)
            return
        self._until = time.monotonic() + self._shutdown_s
        self._life.stopping = True

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; returns whether to end."""
        drained = self._life.stopping and (not self._life.active or time.monotonic() >= self._until)
        return await super().on_tick(counter) or drained or self._life.failure is not None


def serve(settings: Settings) -> None:
    """Serves until it is told to stop (SIGINT, SIGTERM); running requests get `api.shutdown_s` to end.

    It listens at once, and answers 503 until its models are loaded and its dependencies answer.

    Raises:
        StrataError: it cannot work: the configuration or the index.
    """
    api = settings.api
    with Runtime(settings, remote_stages=settings.distributed) as runtime, observed(runtime, "api"):
        app = create_app(settings, runtime, lambda: require_a_key(settings, lambda: runtime.keys))
        life: Life = app.state.life
        config = uvicorn.Config(
            app,
            host=api.host,
            port=api.port,
            access_log=False,  # `services.api.middleware` logs requests, without query strings
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=CUT_S,
        )
        with _signals_spent():
            Server(config, life, api.shutdown_s).run()
    if life.failure is not None:
        raise life.failure
    if life.context is not None and life.context.worker is not None and not life.context.worker.stopped:
        # Python waits for the worker's thread, which may sit in one file's conversion for minutes. The ledger gives
        # its work back at the next start.
        logging.shutdown()
        os._exit(0)


@contextmanager
def _signals_spent() -> Iterator[None]:
    """Lets a stop end here: once it has shut down, uvicorn raises the signal again for whoever handled it before."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
