"""The index on a server over HTTP: failures of server and network, other processes beside this one, late writers."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest

from pipelines.core.errors import (
    ConfigurationError,
    IndexMismatchError,
    IndexUnavailableError,
    NotFoundError,
)
from pipelines.core.settings import IndexSettings
from pipelines.core.store import DocumentVersion, EmbeddedPassage, Fusion, RankedQuery, Schema
from pipelines.core.store.backend import Change, Delete, SetPayload
from pipelines.core.store.server import ServerStore
from pipelines.core.store.server_backend import ServerBackend
from pipelines.core.store.server_calls import CollectionGoneError
from pipelines.core.types import Passage
from tests.support.qdrant_server import Qdrant, drop_collections
from tests.support.reindexing import Process, text

SCHEMA = Schema("encoder", 4)
UNIT = np.array([1, 0, 0, 0], dtype=np.float32)
QUERY = [RankedQuery("text", UNIT)]

Make = Callable[..., ServerStore]

pytestmark = pytest.mark.network


@pytest.fixture
def collection() -> str:
    return f"server-{uuid4().hex[:8]}"


def maker(url: str, collection: str, made: list[ServerStore]) -> Make:
    def make(schema: Schema = SCHEMA, **settings: object) -> ServerStore:
        store = ServerStore(IndexSettings(mode="server", url=url, collection=collection, **settings), schema)
        made.append(store)
        return store.open()

    return make


@pytest.fixture
def make(qdrant_url: str, collection: str) -> Iterator[Make]:
    """Opens stores, each with its own connections, as processes would."""
    made: list[ServerStore] = []
    yield maker(qdrant_url, collection, made)
    for store in made:
        store.close()
    drop_collections(qdrant_url, collection)


@pytest.fixture
def server() -> Iterator[Qdrant]:
    """A server of the test's own, to be killed and told to fail."""
    with Qdrant() as server:
        yield server


@pytest.fixture
def make_on(server: Qdrant, collection: str) -> Iterator[Make]:
    made: list[ServerStore] = []
    yield maker(server.url, collection, made)
    for store in made:
        store.close()


def write(store: ServerStore, version: str, places: range = range(3), document: str = "d") -> None:
    store.write(
        [
            EmbeddedPassage(
                Passage(
                    id=str(UUID(int=hash((document, version, place)) % 2**64)),
                    document_id=document,
                    version=version,
                    section_id=str(UUID(int=place % 2)),
                    title="T",
                    source="s",
                    start=place,
                    end=place + 4,
                    text="text",
                ),
                UNIT,
                "default",
            )
            for place in places
        ]
    )


def add(store: ServerStore, version: str, document: str = "d") -> None:
    write(store, version, document=document)
    assert store.publish(DocumentVersion(document, version), 3) == 3


def versions_found(store: ServerStore, limit: int = 20) -> list[str]:
    return [hit.passage.version for hit in store.search(QUERY, limit=limit, fusion=Fusion())]


# --- Other processes -------------------------------------------------------------------------------------------------


def test_between_the_two_steps_of_a_publication_only_the_newer_revision_is_seen(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, reader = make(), make()
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


def test_a_search_that_a_replacement_falls_into_is_done_again(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    store, writer = make(), make()
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


def test_a_search_gives_up_when_every_try_is_disturbed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    store, writer = make(), make()
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


def test_other_processes_follow_a_swap_to_the_same_schema(make: Make) -> None:
    store, other = make(), make()
    add(store, "v1")
    shadow = store.shadow(SCHEMA)
    add(shadow, "v2")
    store.swap(shadow)
    assert versions_found(other) == ["v2"] * 3
    assert other.build == store.build
    assert store.drop_leftovers() == 0


def test_other_processes_answer_from_the_old_collection_after_a_swap_to_another_encoder(make: Make) -> None:
    store, other = make(), make()
    add(store, "v1")
    old = store.build
    shadow = store.shadow(Schema("newer", 4))
    add(shadow, "v2")
    store.swap(shadow)
    assert (versions_found(store), versions_found(other)) == (["v2"] * 3, ["v1"] * 3)
    assert other.build == old
    with pytest.raises(IndexMismatchError, match="strata reindex"):
        other.refresh()
    assert versions_found(other) == ["v1"] * 3
    assert store.drop_leftovers() == 1
    with pytest.raises(IndexMismatchError, match="newer"):
        versions_found(other)


def test_writes_go_on_with_the_next_try_after_a_swap(make: Make) -> None:
    store, other = make(), make()
    store.swap(store.shadow(SCHEMA))
    with pytest.raises(CollectionGoneError):
        add(other, "v1")
    add(other, "v1")
    assert versions_found(store) == ["v1"] * 3


def test_leftovers_of_others_are_not_touched(make: Make, qdrant_url: str, collection: str) -> None:
    store = make()
    neighbour = maker(qdrant_url, f"{collection}-eu", made := [])()
    foreign = f"{collection}-0123456789ab"
    httpx.put(
        f"{qdrant_url}/collections/{foreign}",
        json={
            "vectors": {"dense": {"size": 4, "distance": "Dot"}},
            "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10},
            "optimizers_config": {"indexing_threshold": 10},
        },
    ).raise_for_status()
    store.shadow(SCHEMA)
    assert store.drop_leftovers() == 1
    assert neighbour.info().passages == 0
    assert httpx.get(f"{qdrant_url}/collections/{foreign}").status_code == 200
    made[0].close()


def test_processes_that_start_together_make_one_collection(make: Make) -> None:
    with ThreadPoolExecutor(6) as pool:
        builds = {store.build for store in pool.map(lambda _: make(), range(6))}
    assert len(builds) == 1


def test_a_live_collection_that_the_server_lost_is_not_replaced_by_an_empty_one(
    make: Make, qdrant_url: str, collection: str
) -> None:
    store = make()
    add(store, "v1")
    drop_collections(qdrant_url, collection)
    for _ in range(2):
        with pytest.raises(IndexUnavailableError, match="restore it"):
            versions_found(store)


def test_many_threads_share_a_store(make: Make) -> None:
    store = make()
    for number in range(10):
        add(store, "v1", f"d{number}")

    def work(number: int) -> int:
        if number % 10 == 0:
            add(store, f"v{number}", f"d{number // 10}")
        return len(store.search(QUERY, limit=50, fusion=Fusion(section=0.0)))

    with ThreadPoolExecutor(16) as pool:
        counts = list(pool.map(work, range(100)))
    assert counts.count(30) > 80
    assert set(counts) <= {24, 27, 30}  # a document that is replaced during every try of a search may be missing


# --- Late writers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stalled_before", ["scroll", "apply"])
def test_a_publication_that_stalls_does_not_undo_a_newer_one(
    make: Make, monkeypatch: pytest.MonkeyPatch, stalled_before: str
) -> None:
    late, owner = make(), make()
    add(owner, "v0")
    write(late, "v1")
    step = getattr(ServerBackend, stalled_before)
    stalls = iter([True])

    def stalled(self: ServerBackend, *args: object, **named: object) -> object:
        if self is late._backend and next(stalls, False):
            add(owner, "v2")
        return step(self, *args, **named)

    monkeypatch.setattr(ServerBackend, stalled_before, stalled)
    with suppress(NotFoundError):
        late.publish(DocumentVersion("d", "v1"), 3)
    assert owner.published("d") == ("v2", 3)
    assert versions_found(late) == ["v2"] * 3


def test_a_deletion_that_stalls_leaves_what_was_published_since(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    late, owner = make(), make()
    add(owner, "v1")
    apply = ServerBackend.apply

    def stalled(self: ServerBackend, changes: list[Change]) -> None:
        if self is late._backend:
            assert owner.delete("d") == 3
            add(owner, "v2")
        apply(self, changes)

    monkeypatch.setattr(ServerBackend, "apply", stalled)
    assert late.delete("d") == 3
    assert owner.published("d") == ("v2", 3)


def test_a_version_of_which_a_part_is_missing_is_not_published(make: Make) -> None:
    store = make()
    add(store, "v1")
    write(store, "v2", range(2))
    with pytest.raises(NotFoundError, match="2 of 3"):
        store.publish(DocumentVersion("d", "v2"), 3)
    assert versions_found(store) == ["v1"] * 3


# --- Under load ------------------------------------------------------------------------------------------------------


def test_readers_see_whole_versions_on_a_server_that_takes_its_time(collection: str) -> None:
    with Qdrant(pause_s=0.005) as server:
        made: list[ServerStore] = []
        make = maker(server.url, collection, made)
        writer, reader = make(), make()
        add(writer, "v0")
        stop, wrong, searches = threading.Event(), [], []

        def read() -> None:
            while not stop.is_set():
                seen = versions_found(reader)
                searches.append(1)
                if len(seen) != 3 or len(set(seen)) != 1:
                    wrong.append(seen)

        with ThreadPoolExecutor(8) as pool:
            reads = [pool.submit(read) for _ in range(8)]
            for number in range(1, 31):
                add(writer, f"v{number}")
            stop.set()
            for each in reads:
                each.result()
        for store in made:
            store.close()
    assert wrong == []
    assert len(searches) > 50


# --- Failures --------------------------------------------------------------------------------------------------------


def test_a_server_that_fails_for_a_moment_is_asked_again(server: Qdrant, make_on: Make) -> None:
    store = make_on()
    add(store, "v1")
    server.fail(2, status=503)
    assert versions_found(store) == ["v1"] * 3
    server.fail(1, status=429, Retry_After="1")
    began = time.monotonic()
    assert versions_found(store) == ["v1"] * 3
    assert 1.0 <= time.monotonic() - began < 20
    server.fail(1, status=500)
    add(store, "v2")
    assert versions_found(store) == ["v2"] * 3


def test_a_server_that_hangs_is_waited_for_no_longer_than_set(server: Qdrant, make_on: Make) -> None:
    store = make_on(timeout_s=1.0)
    server.fail(9, delay_s=30)
    began = time.monotonic()
    with pytest.raises(IndexUnavailableError, match="timed out"):
        versions_found(store)
    assert time.monotonic() - began < 20


def test_a_dead_server_is_told_at_once_and_comes_back_without_a_restart(server: Qdrant, make_on: Make) -> None:
    store = make_on(timeout_s=2.0)
    add(store, "v1")
    server.kill()
    for _ in range(2):
        with pytest.raises(IndexUnavailableError):
            versions_found(store)
    with pytest.raises(IndexUnavailableError, match="left alone") as caught:
        versions_found(store)
    assert (caught.value.retry_after_s or 0) > 0
    server.start()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            assert versions_found(store) == ["v1"] * 3
            break
        except IndexUnavailableError as error:
            time.sleep(min(error.retry_after_s or 0.1, 1.0))
    else:
        pytest.fail("the store did not come back")


def test_a_process_that_starts_while_the_server_is_away_needs_no_restart(
    server: Qdrant, collection: str, tmp_path: Path
) -> None:
    server.kill()
    process = Process(tmp_path, {"mode": "server", "url": server.url, "collection": collection, "timeout_s": 2})
    process.accept(d=text("d"))
    for _ in range(3):
        with pytest.raises(IndexUnavailableError):
            process.work()
    with pytest.raises(IndexUnavailableError, match="left alone"):
        process.found()
    server.start()
    time.sleep(1.5)
    assert process.work() == 1
    assert sorted(process.found()) == ["d"]
    process.close()


def test_what_was_written_survives_a_kill_of_the_server(server: Qdrant, make_on: Make) -> None:
    store = make_on()
    add(store, "v1")
    write(store, "v2", range(2))
    server.kill()
    server.start()
    assert versions_found(store) == ["v1"] * 3
    write(store, "v2")
    assert len(store.written(DocumentVersion("d", "v2"))) == 3
    assert store.publish(DocumentVersion("d", "v2"), 3) == 3
    assert versions_found(store) == ["v2"] * 3


def test_a_wrong_key_is_a_mistake_of_the_configuration(collection: str) -> None:
    with Qdrant(api_key="right") as server:
        settings = {"mode": "server", "url": server.url, "collection": collection}
        with pytest.raises(ConfigurationError, match=r"index\.api_key"):
            ServerStore(IndexSettings(**settings, api_key="wrong"), SCHEMA).open()
        store = ServerStore(IndexSettings(**settings, api_key="right"), SCHEMA).open()
        assert store.info().passages == 0
        store.close()
