"""Traces on their way to a collector: a real HTTP server that takes them, refuses them, or is not there."""

import builtins
import logging
import socket
import threading
import time
from typing import Any

import pytest

from pipelines.core import tracing
from pipelines.core.errors import ConfigurationError
from pipelines.core.settings import TelemetrySettings
from services.telemetry.tracing import exporting, traces_url
from tests.support.collector import collector

pytestmark = pytest.mark.network


def test_spans_arrive_by_the_time_the_process_ends() -> None:
    with collector() as taking:
        with exporting(TelemetrySettings(otlp_endpoint=taking.url), "strata-api"), tracing.span("ask"):
            pass
        assert taking.names == ["ask"]
        assert taking.paths == ["/v1/traces"]
        assert tracing.trace_id() == ""


def test_a_share_of_none_sends_nothing() -> None:
    with collector() as taking:
        settings = TelemetrySettings(otlp_endpoint=taking.url, trace_share=0.0)
        with exporting(settings, "strata-api"), tracing.span("ask"):
            flags = int(tracing.context_headers()["traceparent"].rpartition("-")[2], 16)
            assert not flags & 1  # the decision travels with the work
        assert taking.names == []


def test_a_collector_that_refuses_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    with collector() as refusing:
        refusing.status = 400
        with caplog.at_level(logging.DEBUG), exporting(TelemetrySettings(otlp_endpoint=refusing.url), "strata-api"):
            for _ in range(2000):  # several batches
                with tracing.span("ask"):
                    pass
        assert len(refusing.paths) > 1
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.name for record in told] == ["services.telemetry.tracing"]


def test_a_collector_that_is_not_there_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.telemetry.tracing.EXPORT_S", 3.0)
    monkeypatch.setattr("services.telemetry.tracing.FLUSH_S", 0.2)
    with socket.socket() as silent:  # accepts, and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        settings = TelemetrySettings(otlp_endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
        with exporting(settings, "strata-api"):
            with tracing.span("ask"):
                pass
            closing = time.monotonic()
        assert time.monotonic() - closing < 2.5
        for thread in threading.enumerate():  # what is left behind ends by itself
            if thread.name == "strata-traces-flush":
                thread.join(30)
                assert not thread.is_alive()


def test_a_missing_sdk_is_a_fault_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith(("opentelemetry.exporter", "opentelemetry.sdk")):
            raise ModuleNotFoundError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with exporting(TelemetrySettings(), "strata-api"):
        assert tracing.context_headers() == {}
    named = exporting(TelemetrySettings(otlp_endpoint="http://127.0.0.1:1"), "strata-api")
    with pytest.raises(ConfigurationError, match=r"strata-rag\[otel\]"), named:
        pass


@pytest.mark.parametrize("named", ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces"])
def test_the_address_of_a_collector_is_taken_with_or_without_its_path(named: str) -> None:
    assert traces_url(named) == "http://c:4318/v1/traces"
