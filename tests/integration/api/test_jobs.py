"""Jobs over HTTP."""

import socket
import threading
import time
import uuid
from collections.abc import Callable

import pytest

from pipelines.core.errors import IndexUnavailableError
from services.api.admission import FRESH_S
from tests.support.api_server import ApiServer, assert_problem, read_events, wait_for_job

pytestmark = pytest.mark.network


def submit(api: ApiServer, *texts: str) -> str:
    documents = [{"text": text, "name": f"{uuid.uuid4().hex}.md"} for text in texts]
    return str(api.client.post("/v1/documents", json={"documents": documents}).headers["location"])


def test_events_tell_progress_until_the_end(api: ApiServer) -> None:
    location = submit(api, "One.", "Two.")
    with api.client.stream("GET", f"{location}/events") as response:
        events = list(read_events(response))
    assert events[-1][0] == "finished"
    assert events[-1][1]["job"]["counts"]["indexed"] == 2
    assert all(not data["job"]["finished"] for name, data in events[:-1] if name == "progress")
    told = [(data["item"]["ordinal"], data["item"]["state"]) for name, data in events if name == "item"]
    assert [state for ordinal, state in told if ordinal == 0][-1] == "indexed"
    assert {ordinal for ordinal, _ in told} == {0, 1}
    with api.client.stream("GET", f"{location}/events") as response:
        assert [name for name, _ in read_events(response)] == ["item", "item", "finished"]


def test_events_go_on_after_the_last_one_that_was_had(api: ApiServer) -> None:
    location = submit(api, "One.")
    wait_for_job(api.client, location)
    with api.client.stream("GET", f"{location}/events") as response:
        ids = [line.removeprefix("id: ") for line in response.iter_lines() if line.startswith("id: ")]
    stamp, ordinal = ids[-1].split("-")
    for last, expected in (
        (f"{int(stamp) + 60_000_000}-{ordinal}", ["finished"]),
        (ids[-1], ["item", "finished"]),
        ("hostile'; DROP", ["item", "finished"]),
        (f"{'9' * 16}-{'9' * 9}", ["finished"]),
    ):
        with api.client.stream("GET", f"{location}/events", headers={"Last-Event-ID": last}) as response:
            assert [name for name, _ in read_events(response)] == expected


def test_jobs_are_listed_newest_first(api: ApiServer) -> None:
    made = [submit(api, f"Listed {number}.").rpartition("/")[2] for number in range(3)]
    first = api.client.get("/v1/jobs", params={"limit": 2}).json()
    assert [job["id"] for job in first["jobs"]] == [made[2], made[1]]
    rest = api.client.get("/v1/jobs", params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert [(job["id"], job["kind"]) for job in rest["jobs"]] == [(made[0], "ingest")]
    assert api.client.get("/v1/jobs", params={"kind": "sync"}).json() == {"jobs": [], "next_cursor": None}
    assert_problem(api.client.get("/v1/jobs", params={"cursor": "x"}), 422, "request_invalid")
    wait_for_job(api.client, f"/v1/jobs/{made[2]}")


def test_the_same_key_gives_the_same_job(api: ApiServer) -> None:
    key, body = {"Idempotency-Key": uuid.uuid4().hex}, {"documents": [{"text": uuid.uuid4().hex, "name": "once.md"}]}
    first, again = (api.client.post("/v1/documents", json=body, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.headers["location"] == again.headers["location"]
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    body["documents"][0]["metadata"] = {"year": "2024"}  # type: ignore[assignment]
    assert_problem(api.client.post("/v1/documents", json=body, headers=key), 422, "idempotency_key_reused")
    for bad in ("", "x" * 256, "a\x7fb"):
        refused = api.client.post("/v1/documents", json=body, headers={"Idempotency-Key": bad})
        assert_problem(refused, 422, "request_invalid")
    wait_for_job(api.client, first.headers["location"])


def test_a_full_queue_refuses_before_the_body_is_read(serve: Callable[..., ApiServer]) -> None:
    api = serve(ingest={"max_queued": 1})
    gate = api.app.state.gates.documents
    gate._waiting, gate._counted_at = 1, time.monotonic() + 60
    head = "POST /v1/documents HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 503 ")
    assert "retry-after: 10" in answer.lower()
    gate._counted_at = time.monotonic() - FRESH_S  # the count is asked for anew
    assert api.add({"a.md": "There is room again."})


def test_items_come_page_by_page(api: ApiServer) -> None:
    location = submit(api, "One.", "Two.", "Three.")
    wait_for_job(api.client, location)
    first = api.client.get(location, params={"limit": 2}).json()
    assert [item["ordinal"] for item in first["items"]] == [0, 1]
    rest = api.client.get(location, params={"limit": 2, "after": first["next_after"]}).json()
    assert ([item["ordinal"] for item in rest["items"]], rest["next_after"]) == ([2], None)
    for far in (-2, 2**63, 10**30):
        assert_problem(api.client.get(location, params={"after": far}), 422, "request_invalid")
    assert api.client.get(location, params={"after": 2**63 - 1}).json()["items"] == []
    assert api.client.get(location, params={"status": "failed"}).json()["items"] == []


def test_failed_documents_are_tried_again(api: ApiServer) -> None:
    response = api.client.post("/v1/documents", files={"files": (f"{uuid.uuid4().hex}.pdf", b"no pdf")})
    location = response.headers["location"]
    before = wait_for_job(api.client, location)["items"][0]
    retried = api.client.post(f"{location}/retry")
    assert (retried.status_code, retried.json()["retried"]) == (202, 1)
    after = wait_for_job(api.client, location)["items"][0]
    assert after["status"] == "failed"
    assert after["finished_at"] > before["finished_at"]


def test_a_cancelled_job_ends(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    began, leave = threading.Event(), threading.Event()
    embed = api.runtime.encoder.embed

    def slow(texts: list[str]) -> object:
        began.set()
        leave.wait(20)
        return embed(texts)

    monkeypatch.setattr(api.runtime.encoder, "embed", slow)
    submit(api, "First.")
    assert began.wait(20)
    location = submit(api, "Second.")
    cancelled = api.client.post(f"{location}/cancel").json()
    leave.set()
    assert (cancelled["status"], cancelled["counts"]["cancelled"]) == ("cancelled", 1)


def test_the_worker_goes_on_after_the_index_failed(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()
    work = api.runtime.ingestion.work

    def broken(**options: object) -> int:
        if not failed.is_set():
            failed.set()
            raise IndexUnavailableError("the index is away for a moment")
        return int(work(**options))

    monkeypatch.setattr(api.runtime.ingestion, "work", broken)
    location = submit(api, "Patience.")
    assert failed.wait(20)
    assert wait_for_job(api.client, location)["counts"]["indexed"] == 1


@pytest.mark.parametrize("path", ["", "/events", "/retry", "/cancel"])
def test_unknown_jobs_are_not_found(api: ApiServer, path: str) -> None:
    method = "POST" if path in {"/retry", "/cancel"} else "GET"
    assert_problem(api.client.request(method, f"/v1/jobs/none{path}"), 404, "not_found")
