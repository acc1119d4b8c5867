"""Sends traces to an OpenTelemetry collector, where `telemetry.otlp_endpoint` names one."""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from pipelines.core import tracing
from pipelines.core.errors import ConfigurationError
from pipelines.core.settings import TelemetrySettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

FLUSH_S = 3.0
"""Time for the last spans at shutdown. What does not go out then is lost."""
EXPORT_S = 5.0
COMPLAIN_EVERY_S = 60.0
PATH = "/v1/traces"

logger = logging.getLogger(__name__)


@contextmanager
def exporting(settings: TelemetrySettings, service: str) -> Iterator[None]:
    """Traces what runs in the block and sends it, in a thread of its own. Does nothing where no collector is named.

    Args:
        service: Names the process in its traces, such as `strata-api`.

    Raises:
        ConfigurationError: a collector is named, and the SDK is not installed.
    """
    if settings.otlp_endpoint is None:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        raise ConfigurationError(
            "telemetry.otlp_endpoint is set, and OpenTelemetry's SDK is missing: install `strata-rag[otel]`."
        ) from error
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)  # `_Quiet` says it, and not at every batch
    instance = f"{socket.gethostname()}:{os.getpid()}"
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.trace_share)),
        resource=Resource.create({"service.name": service, "service.instance.id": instance}),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=traces_url(settings.otlp_endpoint), timeout=EXPORT_S)
    provider.add_span_processor(BatchSpanProcessor(_quiet(exporter)))
    tracing.start(provider.get_tracer("strata"))
    try:
        yield
    finally:
        tracing.start(None)
        flush = threading.Thread(target=provider.shutdown, name="strata-traces-flush", daemon=True)
        flush.start()  # its own timeouts add up to half a minute where a collector does not answer
        flush.join(FLUSH_S)


def traces_url(endpoint: str) -> str:
    """The address that takes traces, of a collector named with or without it."""
    parts = urlsplit(endpoint)
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if path.endswith(PATH) else path + PATH))


def _quiet(exporter: "SpanExporter") -> "SpanExporter":
    """An exporter that never raises and tells of failures once a minute at most."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Quiet(SpanExporter):
        def __init__(self) -> None:
            self._complained_at = -COMPLAIN_EVERY_S

        def export(self, spans: "Sequence[ReadableSpan]") -> "SpanExportResult":
            try:
                result = exporter.export(spans)
            except Exception:  # the boundary to a library: no trace is worth a question
                result = SpanExportResult.FAILURE
            if result is not SpanExportResult.SUCCESS:
                self._complain()
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

        def _complain(self) -> None:
            now = time.monotonic()
            if now - self._complained_at >= COMPLAIN_EVERY_S:
                self._complained_at = now
                logger.warning("traces are lost: the collector at telemetry.otlp_endpoint does not take them")

    return Quiet()
