"""Keys over HTTP: what each scope opens, and that nobody hands out more than they have."""

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.core.settings import Settings
from services.api.auth import OPEN
from services.api.gatekeeper import BOOTSTRAP
from services.runtime import Runtime
from tests.support.api_server import ApiServer, assert_problem
from tests.support.hash_encoder import HashEncoder

pytestmark = pytest.mark.network
BOOTSTRAP_KEY = "bootstrap-" + "x" * 32

OPENED_BY = {
    "ask": {
        ("post", "/v1/ask"),
        ("post", "/v1/search"),
        ("get", "/v1/answers/{answer_id}/receipt"),
        ("post", "/v1/answers"),
        ("get", "/v1/answers/{job_id}"),
        ("get", "/v1/answers/{job_id}/results"),
        ("post", "/v1/answers/{job_id}/cancel"),
        ("post", "/v1/answers/{job_id}/retry"),
        ("delete", "/v1/answers/{job_id}"),
        ("get", "/v1/documents"),
        ("get", "/v1/documents/{document_id}"),
        ("get", "/v1/documents/{document_id}/text"),
    },
    "ingest": {
        ("post", "/v1/documents"),
        ("delete", "/v1/documents/{document_id}"),
        ("post", "/v1/sources"),
        ("get", "/v1/sources"),
        ("get", "/v1/sources/{source_id}"),
        ("post", "/v1/sources/{source_id}/sync"),
        ("delete", "/v1/sources/{source_id}"),
    },
    "either": {  # and what is found is of the scope's kind
        ("get", "/v1/jobs"),
        ("get", "/v1/jobs/{job_id}"),
        ("get", "/v1/jobs/{job_id}/events"),
        ("post", "/v1/jobs/{job_id}/retry"),
        ("post", "/v1/jobs/{job_id}/cancel"),
    },
    "admin": {
        ("get", "/v1/keys"),
        ("post", "/v1/keys"),
        ("delete", "/v1/keys/{key_id}"),
        ("get", "/v1/heads"),
        ("get", "/metrics"),
    },
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    folder: Path = tmp_path_factory.mktemp("keys")
    api = {"keys": "required", "bootstrap_key": BOOTSTRAP_KEY}
    runtime = Runtime(Settings.model_validate({"data_dir": folder, "api": api}))
    runtime.encoder = HashEncoder()  # type: ignore[assignment]
    with ApiServer(runtime) as server:
        yield server


Client = Callable[..., httpx.Client]


@pytest.fixture
def client(server: ApiServer) -> Iterator[Client]:
    """Makes clients with a new key."""
    made: list[httpx.Client] = []

    def make(*scopes: str, tenant: str = "default", secret: str | None = None, **facts: Any) -> httpx.Client:
        if secret is None:
            _, secret = server.runtime.keys.create(tenant, "test", scopes, **facts)  # type: ignore[arg-type]
        headers = {"Authorization": f"Bearer {secret}"}
        made.append(httpx.Client(base_url=server.client.base_url, headers=headers, timeout=30))
        return made[-1]

    yield make
    for each in made:
        each.close()


def operations(server: ApiServer) -> set[tuple[str, str]]:
    paths = server.app.openapi()["paths"]
    return {(method, path) for path, methods in paths.items() for method in methods if path not in OPEN}


def test_every_route_but_the_open_ones_needs_a_key(server: ApiServer) -> None:
    for method, path in [*sorted(operations(server)), ("get", "/v1/nothing"), ("put", "/v1/ask"), ("get", "/docs/x")]:
        response = server.client.request(method, path)
        assert_problem(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"] == "Bearer"
    for path in OPEN - {"/"}:
        assert server.client.get(path).status_code == 200, path


def test_each_route_has_its_scope(server: ApiServer, client: Client) -> None:
    assert operations(server) == set().union(*OPENED_BY.values())
    clients = {scope: client(scope) for scope in ("ask", "ingest", "admin")}
    for scope, opened in OPENED_BY.items():
        for method, path in sorted(opened):
            closed = {each for each, own in clients.items() if own.request(method, path).status_code == 403}
            expected = {"ask": {"ingest"}, "ingest": {"ask"}, "either": set(), "admin": {"ask", "ingest"}}[scope]
            assert closed == expected, (method, path)


def test_a_refused_request_is_not_read(server: ApiServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        head = ["POST /v1/documents HTTP/1.1", "Host: x", "Content-Type: application/json", "Content-Length: 1000000"]
        connection.sendall("\r\n".join([*head, "", ""]).encode())  # and nothing of the body
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_the_bootstrap_key_makes_the_first_keys(client: Client) -> None:
    first = client(secret=BOOTSTRAP_KEY)
    made = first.post("/v1/keys", json={"name": "acme's", "scopes": ["admin"], "tenant": "acme"})
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    key, secret = made.json()["key"], made.json()["secret"]
    assert (key["tenant"], key["scopes"], key["labels"]) == ("acme", ["admin"], None)
    assert secret not in first.get("/v1/keys", params={"tenant": "acme"}).text
    acme = client(secret=secret)
    assert [each["id"] for each in acme.get("/v1/keys").json()["keys"]] == [key["id"]]
    assert first.delete(f"/v1/keys/{key['id']}", params={"tenant": "acme"}).json()["revoked_at"]
    assert_problem(acme.get("/v1/keys"), 401, "unauthenticated")
    assert BOOTSTRAP.key_id not in [each["id"] for each in first.get("/v1/keys").json()["keys"]]


def test_nobody_hands_out_more_than_they_have(client: Client) -> None:
    ends = datetime.now(UTC) + timedelta(hours=1)
    bound = client("admin", tenant="bound", labels=["red", "blue"], rate_per_minute=100, expires_at=ends)
    like_itself = bound.post("/v1/keys", json={"name": "k", "scopes": ["ask"]}).json()["key"]
    assert (like_itself["labels"], like_itself["rate_per_minute"]) == (["blue", "red"], 100)
    assert datetime.fromisoformat(like_itself["expires_at"]) == ends
    less = {"labels": ["red"], "rate_per_minute": 5, "expires_at": (ends - timedelta(minutes=1)).isoformat()}
    assert bound.post("/v1/keys", json={"name": "k", "scopes": ["ask"], **less}).status_code == 201
    for more in (
        {"labels": ["green"]},
        {"labels": ["red", "green"]},
        {"rate_per_minute": 101},
        {"expires_at": (ends + timedelta(minutes=1)).isoformat()},
        {"tenant": "default"},
    ):
        refused = bound.post("/v1/keys", json={"name": "k", "scopes": ["ask"], **more})
        assert_problem(refused, 403, "forbidden")


def test_a_bound_key_sees_and_revokes_only_keys_that_hold_no_more(server: ApiServer, client: Client) -> None:
    every, _ = server.runtime.keys.create("split", "every", ["admin"])
    red, _ = server.runtime.keys.create("split", "red", ["ask"], labels=["red"])
    bound = client("admin", tenant="split", labels=["red"])
    assert every.id not in bound.get("/v1/keys").text
    assert_problem(bound.delete(f"/v1/keys/{every.id}"), 404, "not_found")
    assert bound.delete(f"/v1/keys/{red.id}").status_code == 200


def test_a_key_over_its_rate_is_told_when_to_come_back(client: Client) -> None:
    slow = client("ask", rate_per_minute=2)
    assert [slow.get("/v1/documents").status_code for _ in range(2)] == [200, 200]
    refused = slow.get("/v1/documents")
    assert_problem(refused, 429, "rate_limited")
    assert 1 <= int(refused.headers["retry-after"]) <= 60


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"scopes": []},
        {"scopes": ["root"]},
        {"labels": ["Not A Label"]},
        {"labels": [f"l{number}" for number in range(51)]},
        {"rate_per_minute": 0},
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"expires_at": "9999-12-31T23:59:59-14:00"},
        {"expires_at": "2030-01-01T00:00:00"},
        {"tenant": "a b"},
        {"unknown": 1},
    ],
)
def test_what_a_key_cannot_be_is_refused(client: Client, wrong: dict[str, Any]) -> None:
    body = {"name": "k", "scopes": ["ask"], **wrong}
    refused = client(secret=BOOTSTRAP_KEY).post("/v1/keys", json=body)
    assert_problem(refused, 422, "request_invalid")
