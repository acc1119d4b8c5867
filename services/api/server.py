"""Runs the app on uvicorn."""

import ipaddress
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from pipelines.core.errors import StrataError
from pipelines.core.settings import Settings
from services.api.app import create_app
from services.runtime import Runtime

logger = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Serves until it is told to stop (SIGINT, SIGTERM); running requests get `api.shutdown_s` to end.

    Raises:
        StrataError: it cannot start: the configuration, the index or the state does not work.
    """
    _log_to_stderr()
    api = settings.api
    if not is_loopback(api.host):
        logger.warning(
            "the API listens on %s, beyond this machine, and asks nobody for a key: whoever reaches it can read, add "
            "and delete documents",
            api.host,
        )
    with Runtime(settings) as runtime:
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
    if not context.worker.stopped:
        # Python waits for the worker's thread, which may sit in one file's conversion for minutes. The ledger gives
        # its work back at the next start.
        logging.shutdown()
        os._exit(0)


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
