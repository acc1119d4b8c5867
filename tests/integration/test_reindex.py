"""`strata reindex`: beside live traffic, cut off, and taken up again; embedded and on a server over HTTP."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pipelines.core.errors import (
    ConflictError,
    IndexMismatchError,
    IndexUnavailableError,
)
from pipelines.core.store.hybrid import HybridStore
from services.documents.refill import DocumentsUnreadableError
from tests.support.qdrant_server import ROOT, drop_collections
from tests.support.reindexing import SECTIONS, Process, text

Start = Callable[..., Process]
Fresh = Callable[[dict[str, str], dict[str, int]], dict[str, list[str]]]
NAMES = [f"d{number}" for number in range(6)]

pytestmark = pytest.mark.network


@pytest.fixture(params=["embedded", "server"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def index(kind: str, request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """The index section."""
    if kind == "embedded":
        yield {"mode": "embedded"}
        return
    url, collection = request.getfixturevalue("qdrant_url"), f"reindex-{uuid4().hex[:8]}"
    yield {"mode": "server", "url": url, "collection": collection}
    drop_collections(url, collection)


@pytest.fixture
def start(tmp_path: Path, index: dict[str, Any]) -> Iterator[Start]:
    """Starts processes of one installation."""
    started: list[Process] = []

    def begin(**options: Any) -> Process:
        started.append(Process(tmp_path, index, **options))
        return started[-1]

    yield begin
    for process in started:
        process.close()


@pytest.fixture
def old(start: Start) -> Process:
    """Has indexed some documents with the old configuration."""
    process = start()
    process.add(**{name: text(name) for name in NAMES})
    return process


@pytest.fixture
def fresh(tmp_path: Path) -> Fresh:
    """What an installation finds that had the new configuration from the start."""

    def found(texts: dict[str, str], options: dict[str, int]) -> dict[str, list[str]]:
        process = Process(tmp_path / "fresh", {"mode": "embedded"}, **options)
        try:
            process.add(**texts)
            return process.found()
        finally:
            process.close()

    return found


embedded = pytest.mark.parametrize("kind", ["embedded"], indirect=True)
on_a_server = pytest.mark.parametrize("kind", ["server"], indirect=True)
"""An embedded index belongs to one process."""


# --- From one configuration to another -------------------------------------------------------------------------------


@pytest.mark.parametrize("new", [{"encoder": 2}, {"max_words": 20}])
def test_an_index_is_built_anew_and_nothing_is_embedded_again_after(
    old: Process, start: Start, fresh: Fresh, new: dict[str, int]
) -> None:
    before = old.found()
    assert {name: len(passages) for name, passages in before.items()} == dict.fromkeys(NAMES, SECTIONS)
    old.close()
    process = start(**new)
    result = process.runtime.reindexer.run()
    assert (result.changed, result.documents, result.resumed) == (True, len(NAMES), False)
    assert result.passages == result.embedded == len(NAMES) * SECTIONS * (2 if "max_words" in new else 1)
    process.close()

    process = start(**new)
    assert process.found() == fresh({name: text(name) for name in NAMES}, new)
    assert (process.found() == before) is ("max_words" not in new)
    assert set(process.accept(**{name: text(name) for name in NAMES}).values()) == {"unchanged"}
    for document in process.documents().values():
        assert "".join(process.runtime.blobs.read_text(document.text_key)) == text(document.source)
    assert set(process.encoder.texts) == {"bridge pier"}


def test_an_index_that_is_as_configured_is_left_alone(old: Process, start: Start) -> None:
    build = old.runtime.store.build
    old.close()
    process = start()
    assert not process.runtime.reindexer.run().changed
    assert process.runtime.reindexer.run(force=True).documents == len(NAMES)
    process.close()
    again = start()
    assert again.runtime.store.build != build
    assert len(again.found()) == len(NAMES)


def test_opening_with_another_configuration_names_the_command(old: Process, start: Start) -> None:
    old.close()
    with pytest.raises(IndexMismatchError, match="strata reindex"):
        _ = start(encoder=2).runtime.store


# --- Failures --------------------------------------------------------------------------------------------------------


def test_a_document_that_cannot_be_read_stops_the_swap_and_nothing_else(old: Process, start: Start) -> None:
    old.runtime.blobs.delete(old.documents()["d3"].blob_key)
    before = old.found()
    old.close()
    process = start(encoder=2)
    with pytest.raises(DocumentsUnreadableError, match="d3") as caught:
        process.runtime.reindexer.run()
    assert "cannot be prepared anew: 1." in caught.value.detail
    process.close()

    old = start()
    assert old.found() == before
    old.delete("d3")
    old.close()
    process = start(encoder=2)
    result = process.runtime.reindexer.run()
    # what an embedded index has beside it is gone when that is opened for work
    assert result.resumed is (process.runtime.settings.index.mode == "server")
    assert result.embedded == (0 if result.resumed else 5 * SECTIONS)
    process.close()
    assert sorted(start(encoder=2).found()) == [name for name in NAMES if name != "d3"]


def test_a_killed_reindex_leaves_the_index_and_is_taken_up_again(
    old: Process, start: Start, index: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    before = old.found()
    old.close()
    arguments = json.dumps({"data_dir": str(tmp_path), "index": index})
    command = [sys.executable, "-m", "tests.support.reindexing", arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        while child.stdout.readline().strip() != "3":
            assert child.poll() is None
        child.kill()

    if kind == "server":
        assert start().found() == before
    process = start(encoder=2)
    result = process.runtime.reindexer.run()
    assert result.resumed
    assert 0 < result.documents <= len(NAMES) - 3
    assert result.embedded < len(NAMES) * SECTIONS
    process.close()
    assert start(encoder=2).found() == before


def test_a_reindex_that_is_cut_off_in_the_middle_of_its_swap_is_brought_to_its_end(
    old: Process, start: Start, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    process = start(encoder=2) if kind == "server" else None
    if process is None:
        old.close()
        process = start(encoder=2)
    store = type(process.runtime._made_store)
    swap = store.swap

    def cut_off(*_: object) -> None:
        raise IndexUnavailableError("the server went away")

    monkeypatch.setattr(store, "swap", cut_off)
    with pytest.raises(IndexUnavailableError, match="went away"):
        process.runtime.reindexer.run()
    process.close()
    monkeypatch.setattr(store, "swap", swap)

    if kind == "server":
        assert len(old.found()) == len(NAMES)
        old.accept(late=text("late"))
        with pytest.raises(IndexUnavailableError, match="strata reindex"):
            old.work()
    process = start(encoder=2)
    with pytest.raises(ConflictError, match="strata reindex"):
        process.runtime.reindexer.drop_old()
    result = process.runtime.reindexer.run()
    assert (result.changed, result.resumed, result.embedded) == (True, True, 0)
    process.close()
    process = start(encoder=2)
    process.work()
    assert sorted(process.found()) == sorted([*NAMES, "late"] if kind == "server" else NAMES)


def test_one_reindex_at_a_time(old: Process, start: Start) -> None:
    old.close()
    first, second = start(encoder=2), start(encoder=2)
    refused: list[str] = []

    def tell(_passages: int, _known: int) -> None:
        with pytest.raises(ConflictError) as caught:
            second.runtime.reindexer.run()
        refused.append(caught.value.detail)

    first.runtime.reindexer.run(tell)
    assert len(refused) == len(NAMES)


@embedded
def test_an_embedded_index_that_is_in_use_is_not_touched(old: Process, start: Start) -> None:
    with pytest.raises(ConflictError, match="in use by process"):
        start(encoder=2).runtime.reindexer.run()
    assert len(old.found()) == len(NAMES)


# --- Beside live traffic ---------------------------------------------------------------------------------------------


@on_a_server
@pytest.mark.parametrize("new", [{"encoder": 2}, {"max_words": 20}])
def test_what_is_added_changed_and_deleted_meanwhile_is_caught_up(
    old: Process, start: Start, fresh: Fresh, new: dict[str, int]
) -> None:
    process = start(**new)
    told: list[int] = []

    def tell(_passages: int, _known: int) -> None:
        told.append(1)
        if len(told) == 2:
            old.add(new=text("new"), d0=text("d0", 2), d5=text("d5", 2))
            old.delete("d1")
            old.delete("d4")

    process.runtime.reindexer.run(tell)
    process.close()
    process = start(**new)
    expected = {"d0": 2, "d2": 1, "d3": 1, "d5": 2, "new": 1}
    found = process.found()
    assert found == fresh({name: text(name, number) for name, number in expected.items()}, new)
    for name, number in expected.items():
        assert process.accept(**{name: text(name, number)}) == {name: "unchanged"}
    info = process.runtime.store.info()
    assert info.passages == sum(map(len, found.values()))


@on_a_server
def test_nothing_is_lost_or_mixed_while_others_search_ingest_and_delete(old: Process, start: Start) -> None:
    process = start(encoder=2, delay_s=0.02)
    readers = [start(), start()]
    stop = threading.Event()
    wrong: list[object] = []
    searches: list[int] = []
    submitted: dict[str, int] = dict.fromkeys(NAMES, 1)

    def search(reader: Process) -> None:
        while not stop.is_set():
            found = reader.found()
            searches.append(1)
            wrong.extend(
                (name, passages)
                for name, passages in found.items()
                if len({passage.split("bridge ")[1].split(" ")[0] for passage in passages}) != 1
            )
            if "d2" not in found:
                wrong.append(sorted(found))

    def ingest() -> None:
        number = 1
        while not stop.is_set():
            number += 1
            for name in ("d0", f"e{number}"):
                submitted[name] = number
                old.accept(**{name: text(name, number)})
            if number == 3:
                del submitted["d1"]
                old.runtime.ledger.delete_document(old.documents()["d1"].id, "default")
            try:
                old.work()
            except (IndexMismatchError, IndexUnavailableError):
                time.sleep(0.05)

    threads = [threading.Thread(target=search, args=(reader,)) for reader in readers]
    threads.append(threading.Thread(target=ingest))
    for thread in threads:
        thread.start()
    try:
        process.runtime.reindexer.run()
        time.sleep(0.5)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    process.close()
    assert wrong == []
    assert len(searches) > 5
    old.accept(last=text("last"))
    with pytest.raises(IndexMismatchError):  # until it is restarted, nothing of it goes into the new index
        old.work()
    submitted["last"] = 1

    process = start(encoder=2)
    process.work()
    found = process.found()
    assert sorted(found) == sorted(submitted)
    for name, number in submitted.items():
        assert "\n\n".join(found[name]) == text(name, number)
    assert process.runtime.store.info().passages == len(submitted) * SECTIONS
    assert {document.status.value for document in process.documents().values()} == {"indexed"}
    assert start().runtime is not None
    assert process.runtime.reindexer.drop_old() == 1


@on_a_server
def test_another_splitter_needs_no_restart(old: Process, start: Start) -> None:
    process, bystander = start(max_words=20), start()
    assert len(bystander.found()) == len(NAMES)
    stop = threading.Event()
    partial: list[dict[str, list[str]]] = []

    def search() -> None:
        while not stop.is_set():
            found = old.found()
            if sorted(found) != NAMES or len({len(passages) for passages in found.values()}) != 1:
                partial.append(found)

    reader = threading.Thread(target=search)
    reader.start()
    try:
        process.runtime.reindexer.run()
        time.sleep(0.3)
    finally:
        stop.set()
        reader.join()
    assert partial == []
    assert {len(passages) for passages in old.found().values()} == {2 * SECTIONS}
    old.add(late=text("late"))
    assert len(old.found()["late"]) == SECTIONS
    bystander.add(later=text("later"))  # it did not look at the index meanwhile
    assert len(bystander.found()["later"]) == SECTIONS
    assert process.runtime.reindexer.drop_old() == 0


@on_a_server
def test_a_worker_waits_while_publishing_is_held(old: Process, start: Start) -> None:
    book, build = old.runtime.ledger.reindexes, old.runtime.store.build
    run = book.begin(build, "new", 60)
    book.attach(run, "shadow")
    book.hold(run, 60)
    worker = threading.Thread(target=old.add, kwargs={"held": text("held")})
    worker.start()
    time.sleep(0.6)
    assert "held" not in old.found()
    book.hold(run, 0)
    worker.join(60)
    assert "held" in old.found()
    book.end(run)


@on_a_server
def test_what_a_worker_has_lost_is_not_published(old: Process, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    other = start()
    written: list[object] = []
    write = HybridStore.write

    def stalled(self: HybridStore, passages: Any) -> None:
        write(self, passages)
        if self is old.runtime.store and not written:
            written.append(passages)
            other.runtime.ledger.leases.reclaim(everyone=True)  # as if the lease had ended
            other.add(d0=text("d0", 3))

    monkeypatch.setattr(HybridStore, "write", stalled)
    old.add(d0=text("d0", 2))
    assert "\n\n".join(old.found()["d0"]) == text("d0", 3)
    document = old.documents()["d0"]
    assert (document.status.value, document.passages) == ("indexed", SECTIONS)
    assert old.runtime.store.published(document.id) == (document.version, SECTIONS)
