"""Spans and what a message carries of them; and that nothing is spent while tracing is off."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pipelines.core import tracing
from pipelines.core.errors import IndexUnavailableError


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.start(provider.get_tracer("test"))
    yield exporter
    tracing.start(None)


@pytest.fixture
def asked() -> Iterator[str]:
    token = tracing.request_id.set("request-1")
    yield "request-1"
    tracing.request_id.reset(token)


def test_work_elsewhere_belongs_to_the_trace_and_the_request(spans: InMemorySpanExporter, asked: str) -> None:
    with tracing.span("ask", kind="server"):
        headers = tracing.context_headers()
        here = tracing.trace_id()
    tracing.request_id.set("")
    with tracing.from_headers(headers):
        assert tracing.request_id.get() == asked
        assert tracing.trace_id() == here
        with tracing.span("plan", kind="consumer"):
            pass
    assert tracing.request_id.get() == ""
    assert tracing.trace_id() == ""
    ask, plan = spans.get_finished_spans()
    assert plan.parent is not None
    assert plan.parent.span_id == ask.context.span_id
    assert plan.context.trace_id == ask.context.trace_id


@pytest.mark.parametrize(
    "headers",
    [{}, {"traceparent": "junk", "request_id": "a b\n"}, {"traceparent": 7, "request_id": None, "tracestate": "=,="}],
)
def test_malformed_headers_are_ignored(spans: InMemorySpanExporter, headers: dict[str, object], asked: str) -> None:
    with tracing.span("outer"), tracing.from_headers(headers):
        assert tracing.request_id.get() == ""
        assert tracing.trace_id() == ""
        with tracing.span("inner"):
            pass
    inner, _ = spans.get_finished_spans()
    assert inner.parent is None


def test_an_error_is_told_by_its_code_and_never_by_its_message(spans: InMemorySpanExporter) -> None:
    for error in (IndexUnavailableError("SECRET host"), ValueError("SECRET text"), asyncio.CancelledError()):
        with pytest.raises(type(error)), tracing.span("retrieve", {"strata.tier": "index", "left.out": None}):
            raise error
    ended = spans.get_finished_spans()
    assert [span.attributes["error.type"] for span in ended if span.attributes] == [
        "index_unavailable",
        "ValueError",
        "CancelledError",
    ]
    assert all("SECRET" not in span.to_json() for span in ended)
    assert dict(ended[0].attributes or {}) == {"strata.tier": "index", "error.type": "index_unavailable"}


def test_attributes_are_bounded(spans: InMemorySpanExporter) -> None:
    with tracing.span("stage") as current:
        tracing.note(current, {"reason": "x" * 100_000, "number": 3})
    assert dict(spans.get_finished_spans()[0].attributes or {}) == {"reason": "x" * tracing.MAX_CHARS, "number": 3}


def test_a_span_of_its_own_trace_is_linked_to_another(spans: InMemorySpanExporter) -> None:
    with tracing.span("submit"):
        headers = tracing.context_headers()
    tracing.open_span("document", {}, linked=headers).end()
    submit, document = spans.get_finished_spans()
    assert document.context.trace_id != submit.context.trace_id
    assert [link.context.span_id for link in document.links] == [submit.context.span_id]


def test_off_costs_less_than_a_tenth_of_a_millisecond_a_question() -> None:
    def question() -> float:
        started = time.perf_counter()
        for _ in range(10):  # five stages, three hops, two model calls
            with tracing.span("stage", {"strata.stage": "plan"}) as current:
                tracing.note(current, {"number": 1})
                tracing.context_headers()
        return time.perf_counter() - started

    assert tracing.trace_id() == ""
    assert min(question() for _ in range(50)) < 0.0001  # the quickest: the machine may be busy with other things
