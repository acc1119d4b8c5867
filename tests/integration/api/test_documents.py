"""Documents over HTTP: submitting, reading, replacing and deleting them."""

import hashlib
import io
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.support.api_server import ApiServer, assert_problem, wait_for_job

pytestmark = pytest.mark.network

MIB = 1024 * 1024


def unique(text: str = "text") -> str:
    return f"{text}-{uuid.uuid4().hex[:8]}"


def test_files_are_indexed_in_the_background_and_a_bad_one_stops_nobody(api: ApiServer) -> None:
    good, bad = f"{unique()}.md", f"{unique()}.pdf"
    files = [("files", (good, b"# Bees\n\nBees dance.", "text/markdown")), ("files", (bad, b"no pdf", None))]
    response = api.client.post("/v1/documents", files=files, data={"metadata": json.dumps([{"n": 1}, {"n": 2}])})
    assert response.status_code == 202
    accepted = response.json()
    assert response.headers["location"] == f"/v1/jobs/{accepted['job']['id']}"
    assert [item["name"] for item in accepted["documents"]] == [good, bad]
    job = wait_for_job(api.client, response.headers["location"])
    assert job["status"] == "done"
    assert [item["status"] for item in job["items"]] == ["indexed", "failed"]
    assert job["items"][1]["error"]["code"].startswith("document_")
    shown = api.client.get(f"/v1/documents/{accepted['documents'][0]['document_id']}").json()
    assert (shown["status"], shown["metadata"], shown["title"], shown["passages"]) == ("indexed", {"n": 1}, "Bees", 1)
    failed = api.client.get("/v1/documents", params={"status": "failed", "limit": 1000}).json()["documents"]
    assert accepted["documents"][1]["document_id"] in {document["id"] for document in failed}


def test_large_files_are_spooled_and_arrive_whole(api: ApiServer) -> None:
    content = b"<p>Seen at the end of a large file.</p><!--" + b"filler " * 300_000 + b"-->"
    name = f"{unique()}.html"
    response = api.client.post("/v1/documents", files={"files": (name, io.BytesIO(content))})
    job = wait_for_job(api.client, response.headers["location"])
    assert job["items"][0]["status"] == "indexed"
    shown = api.client.get(f"/v1/documents/{job['items'][0]['document_id']}").json()
    assert shown["size_bytes"] == len(content)
    assert shown["content_sha256"] == hashlib.sha256(content).hexdigest()


def test_the_same_source_replaces_and_the_same_content_changes_nothing(api: ApiServer) -> None:
    name = f"{unique()}.md"
    (first,) = api.add({name: "Old text of the thing."})
    version = api.client.get(f"/v1/documents/{first}").json()["version"]
    again = api.client.post("/v1/documents", json={"documents": [{"text": "Old text of the thing.", "name": name}]})
    assert again.json()["job"]["counts"]["unchanged"] == 1
    (second,) = api.add({name: "New text of the thing."})
    assert second == first
    text = api.client.get(f"/v1/documents/{first}/text").json()
    assert text["text"].strip() == "New text of the thing."
    response = api.client.get(f"/v1/documents/{first}/text", params={"version": version})
    assert_problem(response, 409, "conflict")


def test_a_text_without_a_name_is_named_by_its_content(api: ApiServer) -> None:
    body = {"documents": [{"text": unique("nameless"), "title": "Titled", "format": "text"}]}
    first, second = (api.client.post("/v1/documents", json=body) for _ in range(2))
    (item,) = first.json()["documents"]
    assert item["source"].startswith("text:")
    assert second.json()["documents"][0]["document_id"] == item["document_id"]
    wait_for_job(api.client, second.headers["location"])
    shown = api.client.get(f"/v1/documents/{item['document_id']}").json()
    assert (shown["title"], shown["format"]) == ("Titled", "txt")


def test_spans_of_text(api: ApiServer) -> None:
    (document_id,) = api.add({f"{unique()}.txt": "0123456789"})
    path = f"/v1/documents/{document_id}/text"
    span = api.client.get(path, params={"start": 3, "end": 5}).json()
    assert (span["text"], span["start"], span["end"]) == ("34", 3, 5)
    beyond = api.client.get(path, params={"start": 100, "end": 200}).json()
    assert (beyond["text"], beyond["start"], beyond["end"]) == ("", 100, 100)
    assert api.client.get(path, params={"start": 5, "end": 2}).json()["text"] == ""
    assert_problem(api.client.get(path, params={"start": -1}), 422, "request_invalid")


def test_documents_are_listed_page_by_page(api: ApiServer) -> None:
    ids = api.add({f"{unique()}.md": "A page." for _ in range(3)})
    found: list[str] = []
    cursor = None
    while True:
        page = api.client.get("/v1/documents", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        found += [document["id"] for document in page["documents"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(found) == len(set(found))
    assert set(ids) <= set(found)
    assert_problem(api.client.get("/v1/documents", params={"cursor": "nonsense"}), 422, "request_invalid")
    assert_problem(api.client.get("/v1/documents", params={"limit": 0}), 422, "request_invalid")
    assert_problem(api.client.get("/v1/documents", params={"status": "lost"}), 422, "request_invalid")


# --- Deleting ------------------------------------------------------------------------------------------------------


def delete(api: ApiServer, document_id: str) -> None:
    """Deletes, waits until it is gone, and checks that it stays so."""
    path = f"/v1/documents/{document_id}"
    response = api.client.delete(path)
    assert response.status_code == 202
    assert response.json()["status"] == "deleting"
    end = time.monotonic() + 30
    while api.client.get(path).status_code != 404:
        assert time.monotonic() < end, "the document was never gone"
        time.sleep(0.05)
    assert_problem(api.client.delete(path), 404, "not_found")
    assert_problem(api.client.get(f"{path}/text"), 404, "not_found")


def test_an_indexed_document_is_deleted(api: ApiServer) -> None:
    word = unique("zyx")
    (document_id,) = api.add({f"{word}.md": f"The {word} is green."})
    assert (
        api.client.post("/v1/search", json={"query": word}).json()["hits"][0]["passage"]["document_id"] == document_id
    )
    delete(api, document_id)
    hits = api.client.post("/v1/search", json={"query": word}).json()["hits"]
    assert document_id not in {hit["passage"]["document_id"] for hit in hits}


def test_a_failed_document_is_deleted(api: ApiServer) -> None:
    response = api.client.post("/v1/documents", files={"files": (f"{unique()}.pdf", b"no pdf")})
    job = wait_for_job(api.client, response.headers["location"])
    assert job["status"] == "failed"
    delete(api, job["items"][0]["document_id"])


@pytest.fixture
def held(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Holds the worker in its embedding until the event is set; `began` tells that it got there."""
    leave = threading.Event()
    leave.began = threading.Event()  # type: ignore[attr-defined]
    embed = api.runtime.encoder.embed

    def slow(texts: list[str]) -> object:
        leave.began.set()  # type: ignore[attr-defined]
        leave.wait(20)
        return embed(texts)

    monkeypatch.setattr(api.runtime.encoder, "embed", slow)
    yield leave
    leave.set()


def test_queued_and_running_documents_are_deleted(api: ApiServer, held: threading.Event) -> None:
    def submit() -> str:
        body = {"documents": [{"text": "Slow words.", "name": f"{unique()}.md"}]}
        return str(api.client.post("/v1/documents", json=body).json()["documents"][0]["document_id"])

    def status(document_id: str) -> str:
        return str(api.client.get(f"/v1/documents/{document_id}").json()["status"])

    running = submit()
    assert held.began.wait(20)  # type: ignore[attr-defined]
    queued = submit()
    assert (status(running), status(queued)) == ("running", "queued")
    assert api.client.delete(f"/v1/documents/{running}").status_code == 202
    assert api.client.delete(f"/v1/documents/{running}").status_code == 202
    assert api.client.delete(f"/v1/documents/{queued}").status_code == 202
    held.set()
    end = time.monotonic() + 30
    while {api.client.get(f"/v1/documents/{each}").status_code for each in (running, queued)} != {404}:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_questions_are_answered_while_the_worker_works(api: ApiServer, held: threading.Event) -> None:
    api.client.post("/v1/documents", json={"documents": [{"text": "Slow words.", "name": f"{unique()}.md"}]})
    assert held.began.wait(20)  # type: ignore[attr-defined]
    assert api.client.get("/livez").json() == {"status": "alive"}
    assert api.client.get("/v1/documents", params={"status": "running"}).json()["documents"]


# --- Bad submissions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"documents": []},
        {"documents": [{"text": "x"}], "more": 1},
        {"documents": [{"text": "x", "format": "pdf"}]},
        {"documents": [{"text": "x", "metadata": {"a": None}}]},
        {"documents": [{"text": "x", "metadata": {"a": {"b": 1}}}]},
        {"documents": [{"text": "x", "metadata": {"a": [[1]]}}]},
        {"documents": [{"text": "x", "metadata": {"": 1}}]},
        {"documents": [{"text": "x", "metadata": {"a": 2**63}}]},
        {"documents": [{"text": "x", "metadata": {"a": "\0"}}]},
        {"documents": [{"text": "x", "metadata": {str(n): n for n in range(101)}}]},
        {"documents": [{"text": "x", "name": "a\nb"}]},
        {"documents": [{"text": "x", "source": ""}]},
        {"documents": [{"text": "x", "source": "s"}, {"text": "y", "source": "s"}]},
    ],
)
def test_bad_texts_are_problems(api: ApiServer, body: object) -> None:
    assert_problem(api.client.post("/v1/documents", json=body), 422, "request_invalid")


FILE = ("files", ("a.md", b"x"))


@pytest.mark.parametrize(
    ("files", "data"),
    [
        ([("other", ("a.md", b"x"))], {}),
        ([("files", ("", b"x"))], {}),
        ([FILE, FILE], {}),
        ([FILE], {"source": ["a", "b"]}),
        ([FILE], {"source": ""}),
        ([FILE], {"metadata": "{"}),
        ([FILE], {"metadata": "7"}),
        ([FILE], {"metadata": '[{"a": 1}, {"a": 2}]'}),
        ([FILE], {"metadata": '{"a": {"b": 1}}'}),
        ([FILE], {"metadata": ["{}", "{}"]}),
        ([FILE], {"unknown": "1"}),
    ],
)
def test_bad_forms_are_problems(api: ApiServer, files: object, data: dict[str, object]) -> None:
    assert_problem(api.client.post("/v1/documents", files=files, data=data), 422, "request_invalid")


def test_bodies_that_are_no_submission_are_problems(api: ApiServer) -> None:
    def post(content: bytes, kind: str) -> object:
        return api.client.post("/v1/documents", content=content, headers={"Content-Type": kind})

    assert_problem(post(b"x", "text/plain"), 415, "media_type_unsupported")
    assert_problem(post(b"", "multipart/form-data"), 422, "request_invalid")
    assert_problem(post(b"nonsense", "multipart/form-data; boundary=b"), 422, "request_invalid")
    assert_problem(post(b"--b--\r\n", "multipart/form-data; boundary=b"), 422, "request_invalid")


def test_limits_hold_and_nothing_of_a_refused_submission_stays(serve: Callable[..., ApiServer]) -> None:
    server = serve(
        api={"max_body_bytes": MIB, "max_files": 2, "max_question_bytes": 1000}, convert={"max_file_bytes": 500_000}
    )

    def refused(**request: object) -> None:
        assert_problem(server.client.post("/v1/documents", **request), 413, "request_too_large")

    def chunks() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n'
        for _ in range(20):
            yield b"x" * 100_000

    refused(files={"files": ("a.txt", b"x" * 2 * MIB)})
    refused(content=chunks(), headers={"Content-Type": "multipart/form-data; boundary=b"})
    refused(content=b"[" + b" " * MIB + b"]", headers={"Content-Type": "application/json"})
    refused(files={"files": ("a.txt", b"x" * 600_000)})
    refused(json={"documents": [{"text": str(number)} for number in range(3)]})
    too_many = server.client.post("/v1/documents", files=[("files", (f"{n}.md", b"x")) for n in range(3)])
    assert_problem(too_many, 413, "request_too_large")
    assert_problem(server.ask("x" * 2000), 413, "request_too_large")
    assert server.client.get("/v1/documents").json()["documents"] == []
    assert list(server.runtime.blobs.keys()) == []
