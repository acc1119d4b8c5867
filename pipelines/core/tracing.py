"""Traces: one a question, over every process that works on it. Off until `start` is given a tracer; then next to free.

The tracer is this module's own, never OpenTelemetry's global one: libraries that trace by themselves would put prompts
and documents into it. Attributes hold names, numbers and ids; never the text of a question, a document or an answer.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pipelines.core.errors import StrataError

Attribute = str | int | float | bool | None
Kind = Literal["internal", "server", "client", "producer", "consumer"]

REQUEST_ID = "request_id"
MAX_CHARS = 200
"""Of an attribute's value."""

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that is worked on, in the API and in the worker that it sent a task to."""

_ACCEPTED = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_KINDS: Mapping[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_W3C = TraceContextTextMapPropagator()
_tracer: Tracer | None = None


def start(tracer: Tracer | None) -> None:
    """Traces with this tracer from now on, or not at all."""
    global _tracer  # noqa: PLW0603  # a process has one way of tracing, as it has one log
    _tracer = tracer


def is_request_id(text: str) -> bool:
    """Whether a request id that somebody sent may stand in a log and on a queue."""
    return _ACCEPTED.fullmatch(text) is not None


@contextmanager
def span(
    name: str, attributes: Mapping[str, Attribute] | None = None, *, kind: Kind = "internal", **named: Attribute
) -> Iterator[Span]:
    """What runs in the block, as a part of the trace. `None` attributes are left out, long texts are cut.

    An error that leaves the block marks the span with its code, or its class; never with its message.

    Args:
        attributes: Those whose names have dots.
    """
    if _tracer is None:
        yield INVALID_SPAN
        return
    with _tracer.start_as_current_span(
        name,
        kind=_KINDS[kind],
        attributes=_known({**(attributes or {}), **named}),
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield current
        except BaseException as error:
            failed(current, error)
            raise


def open_span(
    name: str, attributes: Mapping[str, Attribute], *, kind: Kind = "internal", linked: Mapping[str, str] | None = None
) -> Span:
    """A span for work that no block holds, such as a stream. What runs meanwhile does not stand under it. `end` it.

    Args:
        linked: `context_headers` of another trace that this work belongs to.
    """
    if _tracer is None:
        return INVALID_SPAN
    there = trace.get_current_span(_W3C.extract(linked)).get_span_context() if linked else None
    links = [Link(there)] if there and there.is_valid else []
    return _tracer.start_span(name, kind=_KINDS[kind], attributes=_known(attributes), links=links)


def note(current: Span, attributes: Mapping[str, Attribute]) -> None:
    """Adds what is known only later."""
    if current.is_recording():
        current.set_attributes(_known(attributes))


def failed(current: Span, error: BaseException) -> None:
    """Marks a span with the code of an error, or its class."""
    kind = error.code if isinstance(error, StrataError) else type(error).__name__
    current.set_attribute("error.type", kind)
    current.set_status(Status(StatusCode.ERROR))


def trace_id() -> str:
    """The id of the running trace in hexadecimal; empty when there is none."""
    context = trace.get_current_span().get_span_context() if _tracer else None
    return trace.format_trace_id(context.trace_id) if context and context.is_valid else ""


def context_headers() -> dict[str, str]:
    """What a message carries so that the work on it belongs to this request and this trace."""
    headers: dict[str, str] = {}
    if own := request_id.get():
        headers[REQUEST_ID] = own
    if _tracer is not None:
        _W3C.inject(headers)
    return headers


@contextmanager
def from_headers(headers: Mapping[str, object]) -> Iterator[None]:
    """Works under the request and the trace that `context_headers` named elsewhere. Ignores what is malformed."""
    sent = {name: value for name, value in headers.items() if isinstance(value, str)}
    own = sent.get(REQUEST_ID, "")
    id_before = request_id.set(own if is_request_id(own) else "")
    before = attach(_W3C.extract(sent, Context())) if _tracer else None
    try:
        yield
    finally:
        if before is not None:
            detach(before)
        request_id.reset(id_before)


def _known(attributes: Mapping[str, Attribute]) -> dict[str, str | int | float | bool]:
    return {
        name: value[:MAX_CHARS] if isinstance(value, str) else value
        for name, value in attributes.items()
        if value is not None
    }
