"""Jobs over HTTP."""

import threading
import uuid

import pytest

from pipelines.core.errors import IndexUnavailableError
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
    assert all(name == "progress" and not data["job"]["finished"] for name, data in events[:-1])
    with api.client.stream("GET", f"{location}/events") as response:
        assert [name for name, _ in read_events(response)] == ["finished"]


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
