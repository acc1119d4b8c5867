"""What only the server store does: failures of the network, and other processes beside this one."""

from collections.abc import Iterator
from uuid import UUID

import httpx
import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import UnexpectedResponse

from pipelines.core.errors import (
    ConfigurationError,
    IndexMismatchError,
    IndexUnavailableError,
    InvalidRequestError,
    StrataError,
)
from pipelines.core.settings import IndexSettings
from pipelines.core.store import DocumentVersion, EmbeddedPassage, Fusion, RankedQuery, Schema
from pipelines.core.store.backend import Change, Delete, SetPayload
from pipelines.core.store.server import CollectionGoneError, ServerBackend, ServerStore, _of_response
from pipelines.core.types import Passage

SCHEMA = Schema("encoder", 4)
UNIT = np.array([1, 0, 0, 0], dtype=np.float32)
QUERY = [RankedQuery("text", UNIT)]

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant:UserWarning")


@pytest.fixture
def client() -> Iterator[QdrantClient]:
    client = QdrantClient(":memory:")
    yield client
    client.close()


def make(client: QdrantClient, schema: Schema = SCHEMA) -> ServerStore:
    return ServerStore(client, IndexSettings(), schema).open()


def add(store: ServerStore, version: str, count: int = 3, *, publish: bool = True) -> None:
    items = [
        EmbeddedPassage(
            Passage(
                id=str(UUID(int=int(version[1:]) * 1000 + place)),
                document_id="d",
                version=version,
                section_id=str(UUID(int=place)),
                title="T",
                source="s",
                start=place,
                end=place + 4,
                text="text",
            ),
            UNIT,
            "default",
        )
        for place in range(count)
    ]
    store.write(items)
    if publish:
        store.publish(DocumentVersion("d", version))


def versions_found(store: ServerStore, limit: int = 20) -> list[str]:
    return [hit.passage.version for hit in store.search(QUERY, limit=limit, fusion=Fusion())]


def test_between_the_two_steps_of_a_publication_only_the_newer_revision_is_seen(
    client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, reader = make(client), make(client)
    add(store, "v1")
    apply = ServerBackend.apply
    seen: list[list[str]] = []

    def apply_step_by_step(self: ServerBackend, changes: list[Change]) -> None:
        for change in changes:
            seen.append(versions_found(reader))
            apply(self, [change])
        assert [type(change) for change in changes] == [SetPayload, SetPayload, Delete]

    monkeypatch.setattr(ServerBackend, "apply", apply_step_by_step)
    add(store, "v2")
    assert seen == [["v1"] * 3, ["v2"] * 3, ["v2"] * 3]
    assert versions_found(reader) == ["v2"] * 3


def test_a_search_that_a_replacement_falls_into_is_done_again(
    client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, writer = make(client), make(client)
    add(store, "v1")
    lookup = ServerBackend.lookup
    calls: list[int] = []

    def lookup_then_replace(self: ServerBackend, lookups: list) -> list:
        answer = lookup(self, lookups)
        calls.append(len(lookups))
        if len(calls) == 1:
            add(writer, "v2")
        return answer

    monkeypatch.setattr(ServerBackend, "lookup", lookup_then_replace)
    assert versions_found(store) == ["v2"] * 3
    assert len(calls) == 4


def test_a_search_gives_up_when_every_try_is_disturbed(client: QdrantClient, monkeypatch: pytest.MonkeyPatch) -> None:
    store, writer = make(client), make(client)
    add(store, "v1")
    lookup = ServerBackend.lookup
    versions = iter(f"v{number}" for number in range(2, 99))

    def lookup_then_replace(self: ServerBackend, lookups: list) -> list:
        answer = lookup(self, lookups)
        add(writer, next(versions))
        return answer

    monkeypatch.setattr(ServerBackend, "lookup", lookup_then_replace)
    with pytest.raises(IndexUnavailableError, match="try again"):
        versions_found(store)


def test_other_processes_follow_a_swap(client: QdrantClient) -> None:
    store, other = make(client), make(client)
    add(store, "v1")
    shadow = store.shadow(SCHEMA)
    add(shadow, "v2")
    store.swap(shadow)
    assert versions_found(other) == ["v2"] * 3
    assert [each.name for each in client.get_collections().collections] == [store.info().detail["build"]]


def test_other_processes_do_not_search_with_another_encoder_after_a_swap(client: QdrantClient) -> None:
    store, other = make(client), make(client)
    add(store, "v1")
    store.swap(store.shadow(Schema("newer", 4)))
    with pytest.raises(IndexMismatchError, match="newer"):
        versions_found(other)


def test_writes_go_on_with_the_next_try_after_a_swap(client: QdrantClient) -> None:
    store, other = make(client), make(client)
    store.swap(store.shadow(SCHEMA))
    with pytest.raises(CollectionGoneError):
        add(other, "v1")
    add(other, "v1")
    assert versions_found(store) == ["v1"] * 3


def test_processes_that_start_together_make_one_collection(client: QdrantClient) -> None:
    make(client)
    client._client.aliases.clear()  # as if the first process had stopped before it made the alias
    make(client)
    assert len(client.get_collections().collections) == 1


def test_a_collection_of_someone_else_is_refused(client: QdrantClient) -> None:
    client.create_collection("passages-first", vectors_config={})
    with pytest.raises(IndexMismatchError, match="not made by"):
        make(client)


@pytest.mark.network
def test_an_unreachable_server_is_unavailable() -> None:
    store = ServerStore.connect(IndexSettings(mode="server", url="http://127.0.0.1:1", timeout_s=1), SCHEMA)
    with pytest.raises(IndexUnavailableError, match="cannot be reached") as caught:
        store.open()
    assert caught.value.retryable
    store.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidRequestError),
        (401, ConfigurationError),
        (403, ConfigurationError),
        (404, CollectionGoneError),
        (429, IndexUnavailableError),
        (500, IndexUnavailableError),
        (503, IndexUnavailableError),
        (None, IndexUnavailableError),
    ],
)
def test_statuses_become_errors_of_ours(status: int | None, error: type[StrataError]) -> None:
    response = UnexpectedResponse(status, "reason", b"{}", httpx.Headers())
    assert type(_of_response(response, "passages")) is error
