"""What every route shares: problems, request ids, health, figures, and the description."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.core.encoders import Encoder
from pipelines.core.errors import IndexUnavailableError, StateUnavailableError
from pipelines.core.settings import Settings
from services.runtime import Runtime
from services.telemetry import checks
from tests.support.api_server import ApiServer, assert_problem

pytestmark = pytest.mark.network


def test_unknown_routes_and_methods_are_problems(api: ApiServer) -> None:
    assert_problem(api.client.get("/v1/nothing"), 404, "not_found")
    wrong = api.client.put("/v1/ask", json={})
    assert_problem(wrong, 405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"
    for path in ("/v1/documents/none", "/v1/documents/none/text", "/v1/answers/none/receipt"):
        assert_problem(api.client.get(path), 404, "not_found")


@pytest.mark.parametrize("sent", ["trace-1.a:b", "x" * 128])
def test_a_request_id_is_given_back(api: ApiServer, sent: str) -> None:
    assert api.client.get("/livez", headers={"X-Request-ID": sent}).headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "<script>"])
def test_a_request_id_that_could_garble_a_log_is_replaced(api: ApiServer, sent: str) -> None:
    chosen = api.client.get("/livez", headers={"X-Request-ID": sent}).headers["x-request-id"]
    assert chosen
    assert chosen != sent


def test_readiness_is_truthful(serve: Callable[..., ApiServer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "KEPT_S", 0.0)
    server = serve()
    ready = server.client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["status"] == "ready"
    assert set(ready.json()["checks"]) == {"index", "state", "blobs", "models", "worker"}

    def away(*_: object) -> None:
        raise IndexUnavailableError("http://secret-host:6333 refused")

    with monkeypatch.context() as patch:
        patch.setattr(server.runtime.store, "info", away)
        broken = server.client.get("/readyz")
    assert broken.status_code == 503  # no question can be answered
    assert broken.json()["status"] == "unready"
    assert broken.json()["checks"]["index"] == {"ok": False, "detail": "index_unavailable"}
    assert "secret-host" not in broken.text
    server.app.state.life.context.worker.stop(5)
    stopped = server.client.get("/readyz")
    assert stopped.status_code == 200  # questions are answered all the same
    assert stopped.json()["status"] == "degraded"
    assert stopped.json()["checks"]["worker"] == {"ok": False, "detail": "stopped"}


def test_a_part_that_does_not_answer_holds_up_no_probe(
    serve: Callable[..., ApiServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "LIMIT_S", 1.0)
    server = serve()
    silent, looked = threading.Event(), []

    def wait(*_: object) -> None:
        looked.append(1)
        silent.wait(60)

    monkeypatch.setattr(server.runtime.database, "ping", wait)
    try:
        for _ in range(3):
            time.sleep(checks.KEPT_S)
            started = time.monotonic()
            found = server.client.get("/readyz").json()
            assert time.monotonic() - started < 10
            assert found["checks"]["state"] == {"ok": False, "detail": "no_answer"}
            assert found["status"] == "degraded"
        assert len(looked) == 1  # no thread is spent on a part that still owes an answer
        for _ in range(20):
            server.client.get("/readyz")  # answered from what was found within the last second
    finally:
        silent.set()


def test_the_service_listens_at_once_and_says_when_it_works(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Runtime(Settings(data_dir=tmp_path))
    runtime.encoder = encoder
    loaded, load = threading.Event(), runtime.warm_up
    tries: list[int] = []

    def warm_up() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise StateUnavailableError("the database at secret-host is away")
        loaded.wait(60)
        load()

    monkeypatch.setattr(runtime, "warm_up", warm_up)
    server = ApiServer(runtime, wait=False)
    with server:
        assert server.client.get("/livez").status_code == 200
        deadline = time.monotonic() + 60
        while (started := server.client.get("/readyz")).json()["checks"]["start"]["detail"] == "loading":
            assert time.monotonic() < deadline
        assert started.status_code == 503
        assert started.json()["checks"]["start"] == {"ok": False, "detail": "state_unavailable"}
        refused = server.ask("What is the height of the mast?")
        assert_problem(refused, 503, "service_away")
        assert int(refused.headers["retry-after"]) >= 1
        loaded.set()
        server.wait()
        assert server.client.get("/readyz").json()["status"] == "ready"
        server.app.state.life.stopping = True
        assert server.client.get("/readyz").json() == {"ready": False, "status": "stopping", "checks": {}}
        assert_problem(server.ask("What is the height of the mast?"), 503, "service_away")
    assert len(tries) == 2


def test_figures_have_bounded_labels(api: ApiServer) -> None:
    api.client.get("/v1/documents/some-very-own-id")
    api.client.get("/v1/not-a-route-of-ours")
    api.client.request("BREW", "/livez")
    text = api.client.get("/metrics").text
    assert 'strata_http_requests_total{method="GET",route="/v1/documents/{document_id}",status="404"}' in text
    assert 'route="unmatched"' in text
    assert 'method="other"' in text
    assert 'strata_documents{status="indexed"}' in text
    assert "some-very-own-id" not in text
    assert "not-a-route" not in text
    assert "BREW" not in text


def test_the_description_types_events_and_problems(api: ApiServer) -> None:
    described = api.client.get("/openapi.json").json()
    schemas = described["components"]["schemas"]
    assert set(schemas["Event"]["discriminator"]["mapping"]) == {
        "plan",
        "evidence",
        "delta",
        "citation",
        "answer",
        "error",
    }
    ask = described["paths"]["/v1/ask"]["post"]["responses"]
    event = ask["200"]["content"]["text/event-stream"]["itemSchema"]
    assert event["properties"]["data"]["contentSchema"] == {"$ref": "#/components/schemas/Event"}
    assert ask["200"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Answer"}
    assert {"401", "403", "413", "415", "422", "429", "500", "502", "503", "504"} <= set(ask)
    for path, operations in described["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400 and path != "/readyz":
                    assert list(response["content"]) == ["application/problem+json"], (path, status)


def test_the_page_of_the_description_needs_nothing_from_elsewhere(api: ApiServer) -> None:
    response = api.client.get("/docs")
    assert "POST /v1/ask" in response.text
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert_problem(api.client.get("/redoc"), 404, "not_found")


def test_every_reference_of_the_description_leads_somewhere(api: ApiServer) -> None:
    described = api.client.get("/openapi.json").json()
    names = set(described["components"]["schemas"])

    def references(node: object) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
            return own.union(*(references(value) for value in node.values()))
        return set().union(*(references(value) for value in node)) if isinstance(node, list) else set()

    assert {reference.rpartition("/")[2] for reference in references(described)} <= names
