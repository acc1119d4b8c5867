"""Questions over HTTP, answered in process."""

import json
import socket
import threading
import time
from collections.abc import Callable

import pytest

from pipelines.core.types import Answer, AnswerStatus
from tests.support.api_server import ApiServer, assert_problem, read_events

pytestmark = pytest.mark.network

ORCHARD = """# Orchard handbook

## Pruning

The pear trees of Velmora are pruned in February. Their cuttings are burned in March.

## Harvest

Quinces are harvested in October by the Tamsin family.
"""
QUESTION = "When are the pear trees of Velmora pruned?"


@pytest.fixture(scope="module")
def orchard(api: ApiServer) -> str:
    (document_id,) = api.add({"orchard.md": ORCHARD}, metadata={"topic": "orchard", "year": 1931})
    return document_id


def test_an_answer_cites_what_can_be_checked(api: ApiServer, orchard: str) -> None:
    response = api.ask(QUESTION, explain=True)
    assert response.status_code == 200
    answer = response.json()
    assert answer["status"] == "answered"
    assert "February" in answer["text"]
    assert answer["fates"]
    for citation in answer["citations"]:
        span = api.client.get(
            f"/v1/documents/{citation['document_id']}/text",
            params={"start": citation["start"], "end": citation["end"], "version": citation["version"]},
        ).json()
        assert span["text"] == citation["quote"]
    assert answer["citations"][0]["document_id"] == orchard
    assert answer["citations"][0]["section_path"][-1] == "Pruning"


def test_the_stream_tells_each_step_and_ends_with_the_answer(api: ApiServer, orchard: str) -> None:
    headers = {"Accept": "text/event-stream"}
    with api.client.stream("POST", "/v1/ask", json={"question": QUESTION}, headers=headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache"
        events = list(read_events(response))
    names = [name for name, _ in events]
    assert list(dict.fromkeys(names)) == ["plan", "evidence", "delta", "citation", "answer"]
    assert all(data["type"] == name for name, data in events)
    answer = events[-1][1]["answer"]
    assert [data["citation"] for name, data in events if name == "citation"] == answer["citations"]
    receipt = api.client.get(f"/v1/answers/{answer['id']}/receipt").json()
    assert receipt["receipt"] == answer["receipt"]
    assert "Velmora" not in json.dumps(receipt)


def test_a_question_without_evidence_is_not_answered(api: ApiServer, orchard: str) -> None:
    answer = api.ask("How many submarines does the Norwegian navy own?").json()
    assert (answer["status"], answer["citations"]) == ("insufficient_evidence", [])


def test_filters_hold(api: ApiServer, orchard: str) -> None:
    def status(**filter: object) -> str:
        return str(api.ask(QUESTION, filter=filter).json()["status"])

    assert status(metadata={"topic": "orchard", "year": {"gte": 1930, "lt": 1932}}) == "answered"
    assert status(metadata={"year": {"gt": 1931}}) == "insufficient_evidence"
    assert status(metadata={"topic": ["bridges", "ships"]}) == "insufficient_evidence"
    assert status(document_ids=[orchard]) == "answered"
    assert status(document_ids=["00000000-0000-0000-0000-000000000000"]) == "insufficient_evidence"


def test_a_conversation_makes_the_question_stand_alone(api: ApiServer, orchard: str) -> None:
    history = [{"role": "user", "text": QUESTION}, {"role": "assistant", "text": "In February."}]
    answer = api.ask("And what happens to their cuttings?", history=history).json()
    assert "Velmora".lower() in answer["plan"]["standalone"].lower()


def test_search_gives_passages_with_their_place(api: ApiServer, orchard: str) -> None:
    response = api.client.post("/v1/search", json={"query": "quinces harvest", "limit": 2})
    hits = response.json()["hits"]
    assert 1 <= len(hits) <= 2
    best = hits[0]["passage"]
    assert best["section_path"] == ["Orchard handbook", "Harvest"] or best["section_path"] == ["Harvest"]
    assert best["text"] == ORCHARD[best["start"] : best["end"]]
    assert best["page"] is None
    assert hits[0]["score"] >= hits[-1]["score"] > 0


def test_unicode_survives(api: ApiServer) -> None:
    text = "Der Fluß Wörnitz heißt auf 日本語 ヴェルニッツ川 und führt 🦦 Otter mit sich.\n"
    (document_id,) = api.add({"Flüße 日本.md": text})
    answer = api.ask("Was führt der Fluß Wörnitz mit sich?", filter={"document_ids": [document_id]}).json()
    assert answer["status"] == "answered"
    (citation,) = answer["citations"]
    assert "🦦" in citation["quote"]
    assert text[citation["start"] : citation["end"]] == citation["quote"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"question": " "}, 422, "request_invalid"),
        ({"question": "x" * 4001}, 413, "request_too_large"),
        ({"question": "why", "history": [{"role": "user", "text": "x"}] * 51}, 413, "request_too_large"),
        ({"question": "why", "history": [{"role": "system", "text": "x"}]}, 422, "request_invalid"),
        ({"question": "why", "history": [{"role": "user", "text": "x" * 100_001}]}, 413, "request_too_large"),
        ({"question": "why", "limits": {"deadline_ms": 0}}, 422, "request_invalid"),
        ({"question": "why", "limits": {"deadline_ms": 10**400}}, 422, "request_invalid"),
        ({"question": "why", **{f"k{n}": 1 for n in range(50_000)}}, 422, "request_invalid"),
        ({"question": "why", "filter": {"tenant": "other"}}, 422, "request_invalid"),
        ({"question": "why", "strem": True}, 422, "request_invalid"),
        ({"question": 7}, 422, "request_invalid"),
        ({}, 422, "request_invalid"),
        ([], 422, "request_invalid"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_bad_questions_are_problems(api: ApiServer, body: object, status: int, code: str, stream: bool) -> None:
    headers = {"Accept": "text/event-stream"} if stream else {}
    assert_problem(api.client.post("/v1/ask", json=body, headers=headers), status, code)


@pytest.mark.parametrize("body", [b"{", b"", b"\xff\xfe", b"[" * 100_000, b'{"question": "\\ud800"}'])
@pytest.mark.parametrize("path", ["/v1/ask", "/v1/search", "/v1/documents"])
def test_malformed_json_is_a_problem(api: ApiServer, path: str, body: bytes) -> None:
    response = api.client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert_problem(response, 422, "request_invalid")


@pytest.mark.parametrize("path", ["/v1/ask", "/v1/search", "/v1/documents"])
def test_a_body_that_does_not_say_that_it_is_json_is_a_problem(api: ApiServer, path: str) -> None:
    response = api.client.post(path, content=b'{"question": "why"}', headers={"Content-Type": "text/plain"})
    assert_problem(response, 415, "media_type_unsupported")


def test_a_problem_repeats_nothing_that_was_sent(api: ApiServer) -> None:
    response = api.client.post("/v1/ask", json={"question": ["my secret question"]})
    details = assert_problem(response, 422, "request_invalid")
    assert "secret" not in response.text
    assert details["errors"][0]["field"] == "body.question"


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_too_many_questions_are_told_to_come_back(
    serve: Callable[..., ApiServer], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(api={"max_concurrent_questions": 1})
    entered, leave = threading.Event(), threading.Event()
    ask = server.runtime.ask

    async def slow(*args: object) -> object:
        import asyncio

        entered.set()
        await asyncio.to_thread(leave.wait, 20)
        return await ask(*args)

    monkeypatch.setattr(server.runtime, "ask", slow)
    done: list[int] = []
    body = {"question": "why"}
    first = threading.Thread(
        target=lambda: done.append(server.client.post("/v1/ask", json=body, headers={"Accept": kind}).status_code)
    )
    first.start()
    assert entered.wait(10)
    refused = server.ask("why")
    assert_problem(refused, 429, "too_many_questions")
    assert int(refused.headers["retry-after"]) >= 1
    leave.set()
    first.join(30)
    assert done == [200]
    assert server.ask("why").status_code == 200


def test_a_client_that_does_not_read_keeps_no_place(
    serve: Callable[..., ApiServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(api={"max_concurrent_questions": 1})

    async def long(*_: object) -> Answer:
        return Answer(id="a", question="why", status=AnswerStatus.ANSWERED, text="word " * 10_000_000)

    monkeypatch.setattr(server.runtime, "ask", long)
    body = b'{"question": "why", "stream": true}'
    head = f"POST /v1/ask HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode() + body)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        end = time.monotonic() + 60
        while "strata_questions_in_progress 0.0" not in server.client.get("/metrics").text:
            assert time.monotonic() < end, "the place is still taken"


def test_an_unexpected_error_tells_nothing_of_the_inside(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "text of a document"  # the log shows lines of source, so not where it is raised

    async def broken(*_: object) -> None:
        raise KeyError(secret)

    monkeypatch.setattr(api.runtime, "ask", broken)
    response = api.client.post("/v1/ask", json={"question": "a private question"}, headers={"X-Request-ID": "mine-1"})
    details = assert_problem(response, 500, "internal_error")
    assert details["request_id"] == "mine-1"
    assert "document" not in response.text
    ((name, event),) = api.ask_events("a private question")
    assert (name, event["code"]) == ("error", "internal_error")
    assert "KeyError" in caplog.text
    assert "mine-1" in caplog.text
    assert "text of a document" not in caplog.text
    assert "private" not in caplog.text


def test_silence_is_filled_with_comments(api: ApiServer, orchard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from services.api import sse

    monkeypatch.setattr(sse, "HEARTBEAT_S", 0.05)
    ask = api.runtime.ask

    async def slow(*args: object) -> object:
        import asyncio

        await asyncio.sleep(1.0)
        return await ask(*args)

    monkeypatch.setattr(api.runtime, "ask", slow)
    with api.client.stream("POST", "/v1/ask", json={"question": QUESTION, "stream": True}) as response:
        lines = list(response.iter_lines())
    assert lines.count(": ping") >= 2
    assert "event: answer" in lines


def test_a_client_that_sends_half_a_body_leaves_nothing_behind(api: ApiServer) -> None:
    with socket.create_connection(("127.0.0.1", api.port)) as connection:
        head = b"POST /v1/ask HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
        connection.sendall(head + b'{"question"')
    time.sleep(0.1)
    assert api.client.get("/livez").status_code == 200
    end = time.monotonic() + 30
    while "strata_questions_in_progress 0.0" not in api.client.get("/metrics").text:
        assert time.monotonic() < end, "it counts as being answered"
