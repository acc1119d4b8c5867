"""No key reaches what it may not see or change, by any route.

Every case is one request of one key at one route, with ids, names and words of any tenant. `STRATA_TENANT_WORLDS` and
`STRATA_TENANT_CASES` make the run longer; the defaults are for every day.
"""

import json
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipelines.core.access import Principal
from pipelines.core.settings import Settings
from services.api.auth import OPEN
from services.runtime import Runtime
from tests.support.api_server import ApiServer
from tests.support.hash_encoder import HashEncoder
from tests.support.tenants import Actor, Cell, World, others

pytestmark = pytest.mark.network

WORLDS = int(os.environ.get("STRATA_TENANT_WORLDS", "10"))
CASES = int(os.environ.get("STRATA_TENANT_CASES", "25"))
"""Requests in each world."""

SOURCES = "sources"
T = TypeVar("T")


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        (Path(folder) / SOURCES).mkdir()
        sections = {"api": {"keys": "required"}, "ingest": {"sources": [f"file://{folder}/{SOURCES}/"]}}
        runtime = Runtime(Settings.model_validate({"data_dir": f"{folder}/data", **sections}))
        runtime.encoder = HashEncoder()  # type: ignore[assignment]
        with ApiServer(runtime) as server:
            server.client.headers["Accept-Encoding"] = "identity"
            yield server


# --- Cases ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Case:
    """One request in the making: who asks, and what there is to ask for."""

    world: World
    actor: Actor
    chance: random.Random
    sent: set[str] = field(default_factory=set)

    @property
    def principal(self) -> Principal:
        return self.actor.principal

    def one(self, of: Sequence[T]) -> T:
        return self.chance.choice(of)

    def maybe(self) -> bool:
        return self.one((False, True))

    def id(self, *kinds: str) -> str:
        """Of anything of these kinds that exists, whoever's it is; every other time one that the actor may see."""
        found = [thing for thing in self.world.things if thing.kind in kinds]
        own = [thing for thing in found if thing.seen_by(self.principal)]
        chosen = self.one([thing.id for thing in (own if self.maybe() and own else found)] or ["0" * 32])
        self.sent.add(chosen)
        return chosen

    def cell(self) -> Cell:
        return self.one(self.world.cells)

    def tenant(self) -> str:
        chosen = self.one(list(self.world.names))
        self.sent.add(chosen)
        return chosen

    def labels(self) -> list[str]:
        """Some that exist, whoever's they are."""
        every = [label for labels in self.world.names.values() for label in labels]
        chosen = sorted({self.one(every) for _ in range(self.one((0, 1, 2)))})
        self.sent.update(chosen)
        return chosen

    def own_labels(self) -> list[str]:
        held = self.principal.labels
        return list(held if held is not None else self.one(((), self.world.names[self.principal.tenant])))

    def filter(self) -> dict[str, Any]:
        """Tries to reach over the wall by the filter."""
        cell = self.cell()
        self.sent.add(cell.secrets[3])
        tries = [{}, {"document_ids": [self.id("document")]}, {"metadata": {"place": cell.secrets[3]}}]
        return self.one(tries)

    def documents(self) -> list[dict[str, Any]]:
        """A new document, one of the actor's own again, or one that would replace somebody else's."""
        cell, me = self.cell(), self.principal
        if me.tenant == cell.tenant and me.owns(cell.labels):
            return [cell.document(self.one(("", " More of it.")))]
        labels = self.own_labels()
        if me.labels is not None and self.maybe():
            labels = self.labels()  # some that it may not give, perhaps
        own = Cell(me.tenant, tuple(sorted(labels)))
        if me.owns(own.labels):
            self.world.cells.append(own)
        document = own.document()
        if self.maybe():
            document["source"] = cell.bait
        return [document]


Make = Callable[[Case], Mapping[str, Any]]


def _ask(case: Case) -> dict[str, Any]:
    stream = case.maybe()
    question = f"Where was the {case.cell().bait} found?"
    body = {"question": question, "filter": case.filter(), "explain": True, "stream": stream}
    return {"json": body}


def _batch(case: Case) -> dict[str, Any]:
    asked = [{"question": f"Where was the {case.cell().bait} found?", "filter": case.filter()} for _ in range(2)]
    key = {"Idempotency-Key": "again"} if case.maybe() else {}
    return {"json": {"questions": asked}, "headers": key}


def _submit(case: Case) -> dict[str, Any]:
    key = {"Idempotency-Key": "again"} if case.maybe() else {}
    documents = case.documents()
    if case.maybe():
        return {"json": {"documents": documents}, "headers": key}
    document = documents[0]
    files = [("files", (document["name"], document["text"].encode()))]
    form = {"source": document["source"], "labels": json.dumps(document["labels"])}
    return {"files": files, "data": {**form, "metadata": json.dumps(document["metadata"])}, "headers": key}


def _source(case: Case) -> dict[str, Any]:
    """A new folder, or a tenant's own one: somebody else's or the actor's."""
    own = [each for each in case.world.folders if each.cell.tenant == case.principal.tenant]
    folder = case.one(own) if own and case.maybe() else case.world.folder(case.principal.tenant, case.own_labels())
    return {"json": {"url": folder.url, "labels": list(folder.cell.labels)}}


def _key(case: Case) -> dict[str, Any]:
    body: dict[str, Any] = {"name": "another", "scopes": ["ask"]}
    if case.maybe():
        body["labels"] = case.labels()
    if case.maybe():
        body["tenant"] = case.tenant()
    return {"json": body}


def _with(kind: str, *kinds: str, **query: Any) -> Make:
    return lambda case: {"path": {kind: case.id(*kinds)}, "params": query}


def _of_tenant(make: Make) -> Make:
    """The same, with another tenant's name in the query."""
    return lambda case: {**make(case), "params": {"tenant": case.tenant()} if case.maybe() else {}}


def _forget(case: Case) -> dict[str, Any]:
    return {"path": {"source_id": case.id("source")}, "params": {"documents": case.one(("keep", "delete"))}}


JOBS = ("job", "batch")
ROUTES: dict[tuple[str, str], Make] = {
    ("post", "/v1/ask"): _ask,
    ("post", "/v1/search"): lambda case: {"json": {"query": case.cell().bait, "limit": 100, "filter": case.filter()}},
    ("get", "/v1/answers/{answer_id}/receipt"): _with("answer_id", "answer"),
    ("post", "/v1/answers"): _batch,
    ("get", "/v1/answers/{job_id}"): _with("job_id", *JOBS),
    ("get", "/v1/answers/{job_id}/results"): _with("job_id", *JOBS),
    ("post", "/v1/answers/{job_id}/cancel"): _with("job_id", *JOBS),
    ("post", "/v1/answers/{job_id}/retry"): _with("job_id", *JOBS),
    ("delete", "/v1/answers/{job_id}"): _with("job_id", *JOBS),
    ("post", "/v1/documents"): _submit,
    ("get", "/v1/documents"): lambda case: {"params": {"limit": case.one((1, 3, 1000))}},
    ("get", "/v1/documents/{document_id}"): _with("document_id", "document"),
    ("get", "/v1/documents/{document_id}/text"): _with("document_id", "document"),
    ("delete", "/v1/documents/{document_id}"): _with("document_id", "document"),
    ("get", "/v1/jobs"): lambda case: {"params": {"limit": case.one((1, 100))}},
    ("get", "/v1/jobs/{job_id}"): _with("job_id", *JOBS),
    ("get", "/v1/jobs/{job_id}/events"): _with("job_id", *JOBS),
    ("post", "/v1/jobs/{job_id}/retry"): _with("job_id", *JOBS),
    ("post", "/v1/jobs/{job_id}/cancel"): _with("job_id", *JOBS),
    ("post", "/v1/sources"): _source,
    ("get", "/v1/sources"): lambda _: {},
    ("get", "/v1/sources/{source_id}"): _with("source_id", "source"),
    ("post", "/v1/sources/{source_id}/sync"): _with("source_id", "source"),
    ("delete", "/v1/sources/{source_id}"): _forget,
    ("get", "/v1/keys"): _of_tenant(lambda _: {}),
    ("post", "/v1/keys"): _key,
    ("delete", "/v1/keys/{key_id}"): _of_tenant(_with("key_id", "key")),
    ("get", "/v1/heads"): lambda _: {},
    ("get", "/metrics"): lambda _: {},
}


def test_every_route_has_a_case(server: ApiServer) -> None:
    described = server.app.openapi()["paths"]
    there = {(method, path) for path, methods in described.items() for method in methods if path not in OPEN}
    assert there == set(ROUTES)


# --- The property --------------------------------------------------------------------------------------------------


@settings(
    max_examples=WORLDS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    phases=[Phase.explicit, Phase.generate],  # a world cannot be made smaller: what a request does hangs on time too
)
@given(seed=st.integers(0, 2**32))
def test_nobody_reaches_what_is_not_theirs(server: ApiServer, seed: int) -> None:
    world, chance = World(server, Path(server.runtime.settings.data_dir).parent / SOURCES), random.Random(seed)
    for _ in range(CASES):
        actor, route = chance.choice(world.actors), chance.choice(sorted(ROUTES))
        case = Case(world, actor, chance)
        before = others(server.runtime, world, actor.principal)
        response = _send(server, route, ROUTES[route](case), actor)
        world.rest()
        after = others(server.runtime, world, actor.principal)
        assert {key: after.get(key) for key in before} == before, f"{route} changed what is not the key's"
        _check(case, route, response)
        if response.is_success and route == ("delete", "/v1/keys/{key_id}"):
            world.actors = [each for each in world.actors if each.principal.key_id != response.json()["id"]]
        json_came = response.text and response.is_success and response.headers.get("content-type") == "application/json"
        world.learn(actor, response.json() if json_came else None)
    _check_that_all_see_their_own(world)


def _send(server: ApiServer, route: tuple[str, str], parts: Mapping[str, Any], actor: Actor) -> httpx.Response:
    method, path = route
    headers = {**actor.headers, **parts.get("headers", {})}
    rest = {name: parts[name] for name in ("json", "params", "files", "data") if name in parts}
    return server.client.request(method, path.format(**parts.get("path", {})), headers=headers, **rest)


def _check(case: Case, route: tuple[str, str], response: httpx.Response) -> None:
    assert response.status_code < 500, (route, response.status_code, response.text)
    assert response.status_code != 401, (route, response.text)
    told = response.text + json.dumps(dict(response.headers))
    leaked = [each for each in case.world.forbidden(case.principal) if each in told and each not in case.sent]
    assert not leaked, (route, case.principal, response.status_code, leaked, told)


def _check_that_all_see_their_own(world: World) -> None:
    """Walls without doors would pass as well: whoever may see a document finds it, unless it was deleted."""
    for actor in world.actors:
        listed = _documents(world, actor)
        for cell in world.cells:
            mine = actor.principal.tenant == cell.tenant and actor.principal.sees(cell.labels)
            found = [each for each in listed if each["metadata"].get("place") == cell.secrets[3]]
            if found and mine and found[0]["status"] == "indexed":
                body = {"query": f"{cell.bait} {cell.secrets[0]}", "limit": 100}
                hits = world.server.client.post("/v1/search", json=body, headers=actor.headers).json()["hits"]
                assert any(cell.secrets[0] in hit["passage"]["text"] for hit in hits)
            assert mine or not found


def _documents(world: World, actor: Actor) -> list[dict[str, Any]]:
    response = world.server.client.get("/v1/documents?limit=1000", headers=actor.headers)
    listed: list[dict[str, Any]] = response.json()["documents"]
    return listed
