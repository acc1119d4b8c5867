"""The stand-in for a Qdrant server answers as the real one does, and keeps what it was given."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.qdrant_server import Qdrant

pytestmark = pytest.mark.network

CONFIG = {
    "vectors": {"dense": {"size": 2, "distance": "Dot"}},
    "sparse_vectors": {"words": {"modifier": "idf"}},
    "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10},
    "optimizers_config": {"indexing_threshold": 10},
    "metadata": {"made": "here"},
}


def points(*ids: str) -> dict[str, Any]:
    vector = {"dense": [1.0, 0.0], "words": {"indices": [7], "values": [1.0]}}
    return {"points": [{"id": each, "vector": vector, "payload": {"kind": "a"}} for each in ids]}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/collections/none", None, 404),
        ("POST", "/collections/none/points/count", {}, 404),
        ("PUT", "/collections/there", CONFIG, 409),
        (
            "POST",
            "/collections/aliases",
            {"actions": [{"create_alias": {"collection_name": "no", "alias_name": "x"}}]},
            404,
        ),
        ("PUT", "/collections/there/points", {"points": [{"id": "no uuid", "vector": {"dense": [1.0, 0.0]}}]}, 400),
        ("PUT", "/collections/there/points", {"points": [{"id": 1, "vector": {"dense": [1.0]}}]}, 400),
        ("POST", "/collections/there/points/count", {"unheard_of": 1}, 400),
        ("GET", "/collections/there/exists", None, 200),
    ],
)
def test_errors_have_the_statuses_of_the_real_one(
    qdrant_server: Qdrant, method: str, path: str, body: Any, status: int
) -> None:
    name = f"stand-in-{uuid4().hex[:8]}"
    with httpx.Client(base_url=qdrant_server.url) as client:
        assert client.put(f"/collections/{name}", json=CONFIG).status_code == 200
        response = client.request(method, path.replace("there", name), json=body)
        assert response.status_code == status
        assert ("error" in response.json()["status"]) is (status != 200)
        client.delete(f"/collections/{name}").raise_for_status()


def test_everything_survives_a_kill() -> None:
    first, second = str(uuid4()), str(uuid4())
    with Qdrant() as server, httpx.Client(base_url=server.url) as client:
        client.put("/collections/one", json=CONFIG).raise_for_status()
        client.put("/collections/one/index", json={"field_name": "kind", "field_schema": "keyword"}).raise_for_status()
        alias = {"collection_name": "one", "alias_name": "live"}
        client.post("/collections/aliases", json={"actions": [{"create_alias": alias}]}).raise_for_status()
        client.put("/collections/live/points", json=points(first, second)).raise_for_status()
        client.post("/collections/live/points/delete", json={"points": [second]}).raise_for_status()
        server.kill()
        server.start()
        assert client.get("/aliases").json()["result"]["aliases"] == [alias]
        info = client.get("/collections/live").json()["result"]
        assert (info["points_count"], info["config"]["metadata"], list(info["payload_schema"])) == (
            1,
            {"made": "here"},
            ["kind"],
        )
        where = {"must": [{"key": "kind", "match": {"value": "a"}}]}
        found = client.post("/collections/live/points/scroll", json={"filter": where, "with_vector": True})
        (point,) = found.json()["result"]["points"]
        assert point["id"] == first
        assert point["vector"] == points(first)["points"][0]["vector"]
