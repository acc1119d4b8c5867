"""Runs the app on uvicorn."""

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from pipelines.core.errors import StrataError
from pipelines.core.settings import Settings
from services.api.app import create_app
from services.api.gatekeeper import require_a_key
from services.runtime import Runtime

logger = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Serves until it is told to stop (SIGINT, SIGTERM); running requests get `api.shutdown_s` to end.

    Raises:
        StrataError: it cannot start: the configuration, the index or the state does not work.
    """
    _log_to_stderr()
    api = settings.api
    with Runtime(settings, remote_stages=settings.distributed) as runtime:
        require_a_key(settings, lambda: runtime.keys)
        runtime.warm_up()  # here, so that what is wrong is raised to the caller instead of logged by uvicorn
        app = create_app(settings, runtime)
        config = uvicorn.Config(
            app,
            host=api.host,
            port=api.port,
            access_log=False,  # `services.api.middleware` logs requests, without query strings
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(api.shutdown_s)),
        )
        with _signals_spent():
            uvicorn.Server(config).run()
    context = getattr(app.state, "context", None)
    if context is None:
        raise StrataError("The service did not start; its log says why.")
    if context.worker is not None and not context.worker.stopped:
        # Python waits for the worker's thread, which may sit in one file's conversion for minutes. The ledger gives
        # its work back at the next start.
        logging.shutdown()
        os._exit(0)


def _log_to_stderr() -> None:
    logging.disable(logging.NOTSET)  # the command line turns logs off for a person; a service has a log
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("services", "uvicorn"):
        logging.getLogger(name).setLevel(logging.INFO)


@contextmanager
def _signals_spent() -> Iterator[None]:
    """Lets a stop end here: once it has shut down, uvicorn raises the signal again for whoever handled it before."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
