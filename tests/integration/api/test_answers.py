"""Batches of questions over HTTP, answered by the worker of the API's process."""

import json
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from pipelines.core.errors import IndexUnavailableError, ModelUnavailableError
from pipelines.core.types import Question
from tests.support.api_server import ApiServer, assert_problem, read_events, wait_for_job

pytestmark = pytest.mark.network

JSONL = {"Content-Type": "application/jsonl"}


def lines(*questions: dict[str, Any]) -> str:
    return "".join(json.dumps(question) + "\n" for question in questions)


def submit(api: ApiServer, *questions: dict[str, Any], **headers: str) -> str:
    response = api.client.post("/v1/answers", content=lines(*questions), headers={**JSONL, **headers})
    assert response.status_code == 202, response.text
    return str(response.headers["location"])


def results(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.headers["content-type"].startswith("application/jsonl")
    return [json.loads(line) for line in response.text.splitlines() if line]


def test_a_batch_is_answered_with_citations_in_order(api: ApiServer) -> None:
    (document,) = api.add({"keel.md": "# Keel\n\nThe keel of the Vesper was laid in 1911 in Gdansk."})
    only = {"document_ids": [document]}
    location = submit(
        api,
        {"question": "Where was the keel of the Vesper laid?", "filter": only, "custom_id": "first"},
        {"question": "When was the keel laid?", "filter": only, "explain": True},
        {"question": "Who painted the Vesper?", "filter": {"document_ids": ["none"]}, "custom_id": "nobody"},
    )
    with api.client.stream("GET", f"{location}/results", params={"follow": True}) as response:
        response.read()
    first, second, third = results(response)
    assert [(each["ordinal"], each["custom_id"], each["status"]) for each in (first, second, third)] == [
        (0, "first", "answered"),
        (1, None, "answered"),
        (2, "nobody", "answered"),
    ]
    assert "Gdansk" in first["answer"]["citations"][0]["quote"]
    assert second["answer"]["fates"]
    assert third["answer"]["status"] == "insufficient_evidence"
    assert api.client.get(f"/v1/answers/{first['answer']['id']}/receipt").json()["receipt"]["stages"]
    job = api.client.get(location).json()
    assert (job["kind"], job["status"], job["finished"], job["counts"]["answered"]) == ("answers", "done", True, 3)
    listed = api.client.get("/v1/jobs", params={"kind": "answers"}).json()["jobs"]
    assert location.endswith(listed[0]["id"])


def test_results_go_on_behind_what_was_read(api: ApiServer) -> None:
    location = submit(api, *({"question": f"What is number {number}?"} for number in range(4)))
    wait_for_job(api.client, location)
    rest = results(api.client.get(f"{location}/results", params={"after": 1}))
    assert [each["ordinal"] for each in rest] == [2, 3]
    assert results(api.client.get(f"{location}/results", params={"after": 3})) == []
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "2"}
    with api.client.stream("GET", f"{location}/results", headers=headers) as response:
        events = list(read_events(response))
    assert [name for name, _ in events] == ["result", "finished"]
    assert events[0][1]["result"]["ordinal"] == 3
    for after in (-2, 2**63, "x"):
        assert_problem(api.client.get(f"{location}/results", params={"after": after}), 422, "request_invalid")


def test_a_small_batch_may_be_one_object(api: ApiServer) -> None:
    body = {"questions": [{"question": "One?"}, {"question": "Two?", "custom_id": "b"}]}
    response = api.client.post("/v1/answers", json=body)
    assert (response.status_code, response.json()["total"]) == (202, 2)
    wait_for_job(api.client, response.headers["location"])


def test_every_wrong_line_is_named_and_nothing_is_accepted(api: ApiServer) -> None:
    before = api.client.get("/v1/jobs", params={"kind": "answers"}).json()
    body = "\n".join(
        ['{"question": "Good?"}', "", "not json", '{"question": ""}', '{"question": "x", "stream": true}', '["list"]']
    )
    problem = assert_problem(api.client.post("/v1/answers", content=body, headers=JSONL), 422, "request_invalid")
    assert [each["field"].split(".")[:2] for each in problem["errors"]] == [
        ["body", f"line {number}"] for number in (3, 4, 5, 6)
    ]
    many = "nonsense\n" * 5000
    problem = assert_problem(api.client.post("/v1/answers", content=many, headers=JSONL), 422, "request_invalid")
    assert len(problem["errors"]) == 20
    for content in ("", "\n\n", '{"question": "\\ud800"}', '{"question": "a", "limits": {"max_cost_usd": NaN}}'):
        assert_problem(api.client.post("/v1/answers", content=content, headers=JSONL), 422, "request_invalid")
    for bad in ({"questions": []}, {"questions": [{"question": 1}]}, {"other": 1}, []):
        assert_problem(api.client.post("/v1/answers", json=bad), 422, "request_invalid")
    unsupported = api.client.post("/v1/answers", content="x", headers={"Content-Type": "text/csv"})
    assert_problem(unsupported, 415, "media_type_unsupported")
    assert api.client.get("/v1/jobs", params={"kind": "answers"}).json() == before


def test_a_batch_is_bounded(serve: Callable[..., ApiServer]) -> None:
    api = serve(batch={"max_questions": 3, "max_body_bytes": 4096}, api={"max_question_bytes": 1024})
    four = lines(*({"question": f"{number}?"} for number in range(4)))
    assert_problem(api.client.post("/v1/answers", content=four, headers=JSONL), 413, "request_too_large")
    long = lines({"question": "x" * 2000})
    assert_problem(api.client.post("/v1/answers", content=long, headers=JSONL), 413, "request_too_large")
    large = lines(*({"question": "y" * 900} for _ in range(6)))
    assert_problem(api.client.post("/v1/answers", content=large, headers=JSONL), 413, "request_too_large")
    assert_problem(api.client.post("/v1/answers", json={"questions": [{"question": "z" * 1100}]}), 415,
                   "media_type_unsupported")  # fmt: skip


def test_the_same_key_gives_the_same_batch(api: ApiServer) -> None:
    key = {"Idempotency-Key": uuid.uuid4().hex}
    made = [api.client.post("/v1/answers", content=lines({"question": "Once?"}), headers=JSONL | key) for _ in range(2)]
    assert made[0].headers["location"] == made[1].headers["location"]
    assert [response.headers.get("idempotency-replayed") for response in made] == [None, "true"]
    other = api.client.post("/v1/answers", content=lines({"question": "Twice?"}), headers=JSONL | key)
    assert_problem(other, 422, "idempotency_key_reused")
    wait_for_job(api.client, made[0].headers["location"])


def test_a_cancelled_batch_stops_within_seconds(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    began, ended = threading.Event(), threading.Event()

    async def endless(question: Question) -> None:
        import asyncio

        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    monkeypatch.setattr(api.runtime.batches, "_ask", endless)
    location = submit(api, *({"question": f"{number}?"} for number in range(20)))
    assert began.wait(10)
    cancelled = api.client.post(f"{location}/cancel").json()
    assert (cancelled["status"], cancelled["counts"]["cancelled"]) == ("cancelled", 20)
    assert ended.wait(10)
    with api.client.stream("GET", f"{location}/results", params={"follow": True}) as response:
        response.read()
    assert {each["status"] for each in results(response)} == {"cancelled"}


def test_failures_are_told_and_tried_again(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    ask, broken = api.runtime.batches._ask, True

    async def sometimes(question: Question) -> object:
        if question.text == "Bad?" and broken:
            raise ValueError("a text that may quote a document")
        if question.text == "Away?" and broken:
            raise ModelUnavailableError("The provider is away.")
        return await ask(question)

    monkeypatch.setattr(api.runtime.batches, "_ask", sometimes)
    location = submit(api, {"question": "Good?"}, {"question": "Bad?"}, {"question": "Away?"})
    end = time.monotonic() + 20
    while (job := api.client.get(location).json())["state"] != "retrying" and time.monotonic() < end:
        time.sleep(0.05)
    assert (job["state"], job["retrying"], job["next_try_at"] is not None) == ("retrying", 2, True)
    assert "quote" not in job["detail"]
    assert [each["ordinal"] for each in results(api.client.get(f"{location}/results"))] == [0]
    broken = False
    api.client.post(f"{location}/cancel")
    assert api.client.post(f"{location}/retry").json()["retried"] == 0  # cancelled is not failed


def test_questions_wait_while_the_index_is_away(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    ask, calls = api.runtime.batches._ask, []

    async def broken(question: Question) -> object:
        calls.append(question.text)
        if len(calls) == 1:
            raise IndexUnavailableError("away for a moment")
        return await ask(question)

    monkeypatch.setattr(api.runtime.batches, "_ask", broken)
    location = submit(api, {"question": "Patience?"})
    assert wait_for_job(api.client, location)["counts"]["answered"] == 1
    assert calls == ["Patience?", "Patience?"]


def test_a_deleted_batch_is_gone(api: ApiServer) -> None:
    location = submit(api, {"question": "Gone?"})
    assert api.client.delete(location).status_code == 204
    for method, path in (
        ("GET", ""),
        ("GET", "/results"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("DELETE", ""),
    ):
        assert_problem(api.client.request(method, f"{location}{path}"), 404, "not_found")


def test_documents_are_no_batch(api: ApiServer) -> None:
    response = api.client.post("/v1/documents", json={"documents": [{"text": "A text.", "name": "a.md"}]})
    job = response.headers["location"].rpartition("/")[2]
    assert_problem(api.client.get(f"/v1/answers/{job}"), 404, "not_found")
    wait_for_job(api.client, f"/v1/jobs/{job}")
