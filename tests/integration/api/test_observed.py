"""What a question and a document leave behind in traces, figures and log: their course, and none of their words.

And what is refused before anything is spent on it.
"""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pipelines.core import tracing
from services.telemetry.logs import logging_as
from tests.support.api_server import ApiServer, assert_problem, wait_for_job
from tests.support.model_stub import ModelStub, Reply, Status
from tests.support.stage_replies import replies

pytestmark = [
    pytest.mark.network,
    # Strata silences LiteLLM's own use of Pydantic when it loads it; pytest forgets that after the first test.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:litellm"),
]

WHISPER = "Zanzibar-whispered-7431"
LIGHTHOUSE = f"# Lighthouse\n\nThe lighthouse of Brannoch was built in 1871. {WHISPER} burned in its lamp.\n"
QUESTION = f"When was the lighthouse of Brannoch built, {WHISPER}?"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.start(provider.get_tracer("test"))
    yield exporter
    tracing.start(None)


@pytest.fixture
def server(modelled: tuple[ApiServer, ModelStub]) -> ApiServer:
    server, stub = modelled
    stub.reset()
    stub.on("small", replies)
    stub.on("large", lambda _: Reply("It was built in 1871 [1]."))
    for breaker in server.runtime.tiers.breakers.values():
        breaker.succeeded()
    return server


def named(spans: list[ReadableSpan], name: str) -> ReadableSpan:
    return next(span for span in spans if span.name == name)


def ended(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    """All that ended so far, once this one has: a request's span ends behind its response."""
    end = time.monotonic() + 30
    while all(span.name != name for span in spans.get_finished_spans()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return list(spans.get_finished_spans())


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_question_is_one_trace_that_its_client_may_have_begun(server: ApiServer, spans: InMemorySpanExporter) -> None:
    server.add({"lighthouse.md": LIGHTHOUSE})
    spans.clear()
    theirs = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{theirs}-b7ad6b7169203331-01", "X-Request-ID": "mine-7"}
    answer = server.client.post("/v1/ask", json={"question": QUESTION}, headers=headers).json()
    assert answer["status"] == "answered"
    everything = ended(spans, "POST /v1/ask")
    seen = [span for span in everything if f"{span.context.trace_id:032x}" == theirs]
    others = {span.name for span in everything if span not in seen}  # the document's run may end after the question
    assert others.isdisjoint({"POST /v1/ask", "question", "plan", "retrieve", "prune", "synthesize", "cite"})
    by_id = {span.context.span_id: span.name for span in seen}
    parents = {span.name: by_id.get(span.parent.span_id, "client") for span in seen if span.parent}
    assert parents == {
        "POST /v1/ask": "client",
        "question": "POST /v1/ask",
        **dict.fromkeys(("plan", "retrieve", "prune", "synthesize", "cite"), "question"),
        "chat small": "cite",  # the last of three
        "chat large": "synthesize",
    }
    request = attributes(named(seen, "POST /v1/ask"))
    assert (request["http.response.status_code"], request["strata.request_id"]) == (200, "mine-7")
    call, stage = attributes(named(seen, "chat large")), attributes(named(seen, "synthesize"))
    assert (call["gen_ai.request.model"], call["gen_ai.provider.name"]) == ("large", "openai")
    assert call["gen_ai.usage.input_tokens"] == stage["strata.tokens_in"] > 0
    assert call["gen_ai.usage.output_tokens"] == stage["strata.tokens_out"] > 0
    assert attributes(named(seen, "question"))["strata.answer_id"] == answer["id"]
    assert all(WHISPER not in span.to_json() for span in seen)


def test_a_document_is_in_a_trace_that_names_its_job(server: ApiServer, spans: InMemorySpanExporter) -> None:
    documents = [{"text": f"{LIGHTHOUSE} Once more.", "name": "again.md"}]
    accepted = server.client.post("/v1/documents", json={"documents": documents}).json()
    wait_for_job(server.client, f"/v1/jobs/{accepted['job']['id']}")
    document = accepted["documents"][0]["document_id"]
    seen = ended(spans, "document")
    submit, indexed = named(seen, "POST /v1/documents"), named(seen, "document")
    assert attributes(submit)["strata.job_id"] == attributes(indexed)["strata.job_id"] == accepted["job"]["id"]
    assert attributes(indexed)["strata.document_id"] == document
    assert submit.context.trace_id != indexed.context.trace_id
    within = {span.name for span in seen if span.context.trace_id == indexed.context.trace_id}
    assert {"convert", "embed", "write"} <= within
    assert all(WHISPER not in span.to_json() for span in seen)


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_log_holds_words_or_keys_whatever_fails(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], form: str
) -> None:
    telemetry = server.runtime.settings.telemetry.model_copy(update={"log_level": "DEBUG", "log_format": form})
    settings = server.runtime.settings.model_copy(update={"telemetry": telemetry})
    with logging_as(settings, "api"):
        server.add({f"lighthouse-{form}.md": LIGHTHOUSE})
        server.client.post("/v1/documents", files={"files": (f"{form}.pdf", f"%PDF-1.7 {WHISPER}".encode())})
        assert server.ask(QUESTION).status_code == 200
        assert server.ask(QUESTION, limits={"x": WHISPER}).status_code == 422
        with monkeypatch.context() as patch:

            def fall(*_: object, **__: object) -> None:
                raise ValueError(f"cannot search {WHISPER}")

            patch.setattr(server.runtime.store, "search", fall)
            assert_problem(server.ask(QUESTION), 500, "internal_error")
            assert server.ask_events(QUESTION)[-1][0] == "error"
        server.client.get("/v1/nowhere", params={"q": WHISPER})
    shown = capfd.readouterr().err
    assert "POST /v1/ask 500" in shown
    assert WHISPER not in shown
    assert "sk-stub" not in shown


def test_text_is_logged_where_that_is_wanted(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    server.add({"lighthouse.md": LIGHTHOUSE})
    telemetry = server.runtime.settings.telemetry.model_copy(update={"log_content": True})
    logged = server.runtime.settings.model_copy(update={"telemetry": telemetry})
    monkeypatch.setattr(server.runtime.asking, "_settings", logged)
    with logging_as(logged, "api"):
        server.ask(QUESTION)
    lines = [line for line in capfd.readouterr().err.splitlines() if WHISPER in line]
    assert len(lines) == 1
    assert "built in 1871" in lines[0]


def test_nothing_is_spent_while_the_writer_is_away(
    server: ApiServer, modelled: tuple[ApiServer, ModelStub], monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = modelled[1]
    server.add({"lighthouse.md": LIGHTHOUSE})
    stub.on("large", lambda _: Status(429, headers={"Retry-After": "30"}))
    first = server.ask(QUESTION)  # finds it out, and is answered all the same
    assert (first.status_code, first.json()["status"]) == (200, "degraded")
    calls = len(stub.calls())
    refused = server.ask(QUESTION)
    assert_problem(refused, 503, "overloaded")
    assert 25 <= int(refused.headers["retry-after"]) <= 30
    assert_problem(server.ask(QUESTION, stream=True), 503, "overloaded")
    assert len(stub.calls()) == calls
    ready = server.client.get("/readyz").json()
    assert (ready["ready"], ready["status"]) == (True, "degraded")
    assert "synthesize" in ready["checks"]["models"]["detail"]
    figures = server.client.get("/metrics").text
    assert 'strata_http_problems_total{code="overloaded"} 2.0' in figures
    synthesize = server.runtime.settings.synthesize.model_copy(update={"when_away": "quote"})
    declared = server.runtime.settings.model_copy(update={"synthesize": synthesize})
    monkeypatch.setattr(server.runtime.asking, "_settings", declared)
    assert server.ask(QUESTION).json()["status"] == "degraded"
    server.runtime.tiers.breakers["large"].succeeded()
    stub.on("large", lambda _: Reply("It was built in 1871 [1]."))
    assert server.ask(QUESTION).json()["status"] == "answered"
