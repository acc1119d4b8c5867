"""Sources over HTTP, and archives that are uploaded."""

import io
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.settings import Settings
from tests.integration.api.conftest import Serve
from tests.support.api_server import ApiServer, assert_problem, wait_for_job

pytestmark = pytest.mark.network


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "bees.md").write_text("# Bees\n\nBees dance to tell where flowers are.")
    return folder


@pytest.fixture
def api(serve: Serve, docs: Path) -> Iterator[ApiServer]:
    return serve(ingest={"sources": [docs.as_uri(), "s3://bucket/manuals/"]})


def wait(api: ApiServer, path: str) -> dict[str, Any]:
    until = time.monotonic() + 30
    while True:
        source: dict[str, Any] = api.client.get(path).json()
        if source["finished"] or time.monotonic() > until:
            return source
        time.sleep(0.05)


def test_a_source_from_its_making_to_its_end(api: ApiServer, docs: Path) -> None:
    body = {"url": docs.as_uri(), "metadata": {"topic": "insects"}}
    response = api.client.post("/v1/sources", json=body)
    assert response.status_code == 202
    made = response.json()
    path = response.headers["location"]
    assert path == f"/v1/sources/{made['id']}"
    source = wait(api, path)
    assert (source["status"], source["listed"], source["added"], source["error"]) == ("synced", 1, 1, None)
    job = wait_for_job(api.client, f"/v1/jobs/{source['job_id']}")
    assert [(item["source"], item["status"]) for item in job["items"]] == [(f"{docs.as_uri()}/bees.md", "indexed")]
    assert job["kind"] == "sync"

    (docs / "ants.md").write_text("# Ants\n\nAnts follow a trail.")
    again = api.client.post(f"{path}/sync")
    assert (again.status_code, again.json()["id"]) == (202, made["id"])
    source = wait(api, path)
    assert (source["listed"], source["added"], source["unchanged"]) == (2, 1, 1)
    wait_for_job(api.client, f"/v1/jobs/{source['job_id']}")
    assert [each["id"] for each in api.client.get("/v1/sources").json()["sources"]] == [made["id"]]

    assert api.client.delete(path, params={"documents": "delete"}).json()["status"] == "deleting"
    until = time.monotonic() + 30
    while api.client.get("/v1/documents").json()["documents"] and time.monotonic() < until:
        time.sleep(0.05)
    assert api.client.get("/v1/documents").json()["documents"] == []
    assert_problem(api.client.get(path), 404, "not_found")


def test_a_source_may_go_without_its_documents(api: ApiServer, docs: Path) -> None:
    path = api.client.post("/v1/sources", json={"url": docs.as_uri()}).headers["location"]
    wait_for_job(api.client, f"/v1/jobs/{wait(api, path)['job_id']}")
    assert api.client.delete(path).status_code == 202
    assert_problem(api.client.get(path), 404, "not_found")
    assert len(api.client.get("/v1/documents").json()["documents"]) == 1


def test_only_configured_addresses_are_read(api: ApiServer, docs: Path, tmp_path: Path) -> None:
    (docs / "out").symlink_to(docs.parent)
    elsewhere = [
        "file:///etc",
        "s3://bucket/manuals-of-others/",
        "s3://bucket/",
        "http://host/x",
        f"{docs.as_uri()}/out",
    ]
    for url in elsewhere:
        response = api.client.post("/v1/sources", json={"url": url})
        assert_problem(response, 403, "forbidden")
        assert "ingest.sources" in response.json()["detail"]
    for url in ("docs", "s3://key:secret@bucket/manuals/", "s3://bucket/manuals/../x", ""):
        response = api.client.post("/v1/sources", json={"url": url})
        assert_problem(response, 422, "request_invalid")
        assert "secret" not in response.text
    made = api.runtime.sources.add("default", f"{tmp_path.as_uri()}/", metadata={}, hold_s=600)
    assert_problem(api.client.post(f"/v1/sources/{made.id}/sync"), 403, "forbidden")  # made by the command line
    assert_problem(api.client.post("/v1/sources/unknown/sync"), 404, "not_found")


def test_an_archive_is_indexed_as_its_members_and_a_damaged_one_refused(api: ApiServer) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("a/bees.md", "# Bees\n\nBees dance.")
        target.writestr("picture.png", b"\x89PNG")
    archive.seek(0)
    response = api.client.post("/v1/documents", files={"files": ("all.zip", archive)}, data={"source": "guide"})
    assert [item["source"] for item in response.json()["documents"]] == ["guide!/a/bees.md", "guide!/picture.png"]
    job = wait_for_job(api.client, response.headers["location"])
    assert [item["status"] for item in job["items"]] == ["indexed", "failed"]

    files = [("files", ("a.md", b"text")), ("files", ("bad.zip", archive.getvalue()[:50]))]
    before = len(api.client.get("/v1/documents").json()["documents"])
    refused = api.client.post("/v1/documents", files=files)
    assert_problem(refused, 422, "document_malformed")
    assert refused.json()["detail"] == "The archive bad.zip is damaged or was cut short."
    assert len(api.client.get("/v1/documents").json()["documents"]) == before


def test_secrets_of_stores_are_not_shown() -> None:
    from services.config import redacted

    settings = Settings.model_validate(
        {
            "blobs": {
                "url": "s3://bucket",
                "options": {"key": "AKIAX", "secret": "hidden", "endpoint_url": "http://x"},
            },
            "ingest": {"source_options": {"s3": {"key": "AKIAX", "secret": "hidden"}}},
        }
    )
    shown = str(redacted(settings))
    assert "AKIAX" not in shown
    assert "hidden" not in shown
    assert "hidden" not in repr(settings)
