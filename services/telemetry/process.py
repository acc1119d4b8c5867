"""What a service process lets be seen of itself: its log, its traces, its figures."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from services.runtime import Runtime
from services.telemetry import gauges, logs
from services.telemetry.tracing import exporting

logger = logging.getLogger(__name__)


@contextmanager
def observed(runtime: Runtime, process: str) -> Iterator[None]:
    """Logs, traces and serves figures while the block runs, as `telemetry` says.

    Args:
        process: What this process is: `api` or `worker`.

    Raises:
        ConfigurationError: `telemetry` asks for what cannot be done here.
    """
    telemetry = runtime.settings.telemetry
    runtime.metrics.watch(gauges.breakers)
    with (
        logs.logging_as(runtime.settings, process),
        exporting(telemetry, f"strata-{process}"),
        runtime.metrics.exposed(telemetry) as port,
    ):
        if port is not None:
            logger.info("figures at http://%s:%d/metrics", telemetry.metrics_host, port)
        yield
