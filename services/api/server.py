"""Runs the app on uvicorn."""

import ipaddress
import logging

import uvicorn

from pipelines.core.settings import Settings
from services.api.app import create_app
from services.runtime import Runtime

logger = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Serves until it is told to stop (SIGINT, SIGTERM); running requests get `api.shutdown_s` to end.

    Raises:
        StrataError: it cannot start: the configuration, the index or the state does not work.
    """
    api = settings.api
    if not _is_loopback(api.host):
        logger.warning(
            "the API listens on %s, beyond this machine, and asks nobody for a key: whoever reaches it can read, add "
            "and delete documents",
            api.host,
        )
    with Runtime(settings) as runtime:
        runtime.warm_up()  # here, so that what is wrong is raised to the caller instead of logged by uvicorn
        config = uvicorn.Config(
            create_app(settings, runtime),
            host=api.host,
            port=api.port,
            access_log=False,  # `services.api.middleware` logs requests, without query strings
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=max(1, round(api.shutdown_s)),
        )
        uvicorn.Server(config).run()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
