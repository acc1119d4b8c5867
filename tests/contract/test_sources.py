"""What every record of sources does, on SQLite and on PostgreSQL."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.core.errors import (
    BlobsUnavailableError,
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
)
from pipelines.core.state import (
    Database,
    DocumentStatus,
    Ledger,
    ReadFile,
    SeenFile,
    Sources,
    SourceStatus,
    Submission,
    SyncEndedError,
    SyncItem,
)
from tests.support.clock import Clock

TENANT = "default"
URL = "s3://bucket/manuals/"
ELSEWHERE = "elsewhere:1:x"


@pytest.fixture
def sources(database: Database, clock: Clock) -> Sources:
    return Sources(database, clock=clock)


def claim(sources: Sources, source_id: str | None = None) -> SyncItem:
    item = sources.claim(ELSEWHERE, 60, source_id)
    assert item is not None
    return item


def submission(path: str, *, labels: tuple[str, ...] = ()) -> Submission:
    return Submission(
        document_id=f"id-{path}",
        source=path,
        name=path,
        content_sha256="0" * 64,
        size_bytes=1,
        format="md",
        blob_key="sha256/0",
        fingerprint=f"version-{path}",
        labels=labels,
    )


def read(path: str, mark: str = "1", *, known: bool = False, members: tuple[str, ...] = ()) -> ReadFile:
    documents = [submission(f"{path}!/{name}") for name in members] or [submission(path)]
    return ReadFile(SeenFile(path, mark), known, documents)


def sync(sources: Sources, **marks: str) -> SyncItem:
    """A whole look that finds these files."""
    sources.add(TENANT, URL, metadata={})
    item = claim(sources)
    wanted = sources.look(item, [SeenFile(path, mark) for path, mark in marks.items()])
    if wanted:
        sources.accept(item, [read(path, marks[path], known=known) for path, known in wanted.items()])
    while sources.forget_unseen(item, 1):
        pass
    sources.finish(item)
    return item


def test_a_source_is_found_again_by_its_address(sources: Sources, ledger: Ledger) -> None:
    first = sources.add(TENANT, URL, metadata={"topic": "x", "tags": ("a", "b")})
    again = sources.add(TENANT, URL, metadata={"topic": "x", "tags": ("a", "b")})
    assert (again.id, again.job_id, again.status) == (first.id, first.job_id, SourceStatus.QUEUED)
    assert again.metadata == {"topic": "x", "tags": ("a", "b")}
    assert sources.add("another", URL, metadata={}).id != first.id
    assert [source.id for source in sources.list(TENANT)] == [first.id]
    with pytest.raises(NotFoundError):
        sources.get(first.id, "another")
    assert first.job_id is not None
    assert not ledger.progress.job(first.job_id, TENANT).finished


def test_looks_tell_new_changed_and_gone(sources: Sources, ledger: Ledger) -> None:
    sync(sources, a="1", b="1", c="1")
    sync(sources, a="1", b="2", d="1")
    (source,) = sources.list(TENANT)
    assert (source.listed, source.added, source.changed, source.deleted, source.unchanged) == (3, 1, 1, 1, 1)
    assert source.status is SourceStatus.SYNCED
    states = {document.source: document.status for document in ledger.documents(TENANT).items}
    assert states["c"] is DocumentStatus.DELETING
    assert states["a"] is states["b"] is states["d"] is DocumentStatus.QUEUED


def test_an_archive_that_is_unchanged_keeps_its_members(sources: Sources, ledger: Ledger) -> None:
    sources.add(TENANT, URL, metadata={})
    item = claim(sources)
    sources.accept(item, [read("all.zip", members=("a", "b"))])
    sources.finish(item)
    sync(sources, **{"all.zip": "1"})
    assert {document.status for document in ledger.documents(TENANT).items} == {DocumentStatus.QUEUED}
    item = claim(sources, sources.sync(sources.list(TENANT)[0].id, TENANT).id)
    sources.accept(item, [read("all.zip", "2", known=True, members=("b",))])
    assert sources.forget_unseen(item, 10) == 1
    sources.finish(item)
    assert sources.list(TENANT)[0].deleted == 0  # a member is no file of the source
    states = {document.source: document.status for document in ledger.documents(TENANT).items}
    assert states == {"all.zip!/a": DocumentStatus.DELETING, "all.zip!/b": DocumentStatus.QUEUED}


def test_one_holds_a_source(sources: Sources, clock: Clock) -> None:
    for number in range(3):
        sources.add(TENANT, f"s3://bucket/{number}/", metadata={})
    with ThreadPoolExecutor(6) as pool:
        items = [item for item in pool.map(lambda _: sources.claim(ELSEWHERE, 60), range(6)) if item]
    assert len({item.source_id for item in items}) == len(items) == 3
    clock.move(61)
    taken = claim(sources, items[0].source_id)
    assert taken.attempt == 2
    assert taken.generation == items[0].generation + 1
    assert not sources.extend(items[0], 60)
    with pytest.raises(SyncEndedError):
        sources.accept(items[0], [read("late")])
    sources.finish(items[0])
    assert sources.get(taken.source_id, TENANT).status is SourceStatus.RUNNING
    assert sources.extend(taken, 60)


def test_failed_tries_wait_longer_and_longer_and_end(sources: Sources, clock: Clock) -> None:
    source = sources.add(TENANT, URL, metadata={})
    away = BlobsUnavailableError("away")
    for delay_s, again in ((5, True), (10, True), (0, False)):
        assert sources.fail(claim(sources), away) is again
        if again:
            assert sources.claim(ELSEWHERE, 60) is None
            assert sources.next_due_s() == pytest.approx(delay_s)
            clock.move(delay_s)
    failed = sources.get(source.id, TENANT)
    assert (failed.status, failed.error_code, failed.attempts) == (SourceStatus.FAILED, "blobs_unavailable", 3)
    assert sources.next_due_s() is None
    assert sources.sync(source.id, TENANT).attempts == 0


def test_an_error_that_stays_ends_at_once_and_a_release_costs_no_try(sources: Sources) -> None:
    source = sources.add(TENANT, URL, metadata={})
    sources.release(claim(sources))
    assert sources.get(source.id, TENANT).attempts == 0
    assert not sources.fail(claim(sources), InvalidRequestError("no"))
    assert sources.get(source.id, TENANT).status is SourceStatus.FAILED


def test_workers_that_die_again_and_again_end_a_sync(sources: Sources, clock: Clock) -> None:
    source = sources.add(TENANT, URL, metadata={})
    for _ in range(3):
        claim(sources)
        clock.move(61)
    assert sources.claim(ELSEWHERE, 60) is None
    assert sources.get(source.id, TENANT).error_code == "worker_lost"


def test_a_held_source_is_left_to_whoever_names_it(sources: Sources, clock: Clock) -> None:
    source = sources.add(TENANT, URL, metadata={}, hold_s=60)
    assert sources.claim(ELSEWHERE, 60) is None
    assert claim(sources, source.id).source_id == source.id


def test_a_source_does_not_change_while_it_is_read(sources: Sources) -> None:
    source = sources.add(TENANT, URL, metadata={})
    item = claim(sources)
    with pytest.raises(ConflictError):
        sources.add(TENANT, URL, metadata={"topic": "new"})
    assert sources.add(TENANT, URL, metadata={}).job_id == source.job_id
    sources.finish(item)
    assert sources.add(TENANT, URL, metadata={"topic": "new"}).job_id != source.job_id


@pytest.mark.parametrize("act", [Sources.sync, lambda *args, **labels: Sources.remove(*args, documents=True, **labels)])
def test_sources_belong_to_those_who_hold_their_labels(sources: Sources, act: Callable[..., object]) -> None:
    staff = sources.add(TENANT, URL, metadata={}, document_labels=("staff",), labels=("staff",))
    both = sources.add(TENANT, f"{URL}x/", metadata={}, document_labels=("other", "staff"))
    assert [source.id for source in sources.list(TENANT, labels=("other",))] == [both.id]
    with pytest.raises(NotFoundError):
        act(sources, staff.id, TENANT, labels=("other",))
    with pytest.raises(ForbiddenError):
        act(sources, both.id, TENANT, labels=("other",))
    with pytest.raises(ForbiddenError):
        sources.add(TENANT, URL, metadata={}, document_labels=("other",), labels=("other",))
    act(sources, staff.id, TENANT, labels=("staff", "more"))


def test_a_document_of_other_readers_is_not_taken_over(sources: Sources, ledger: Ledger) -> None:
    ledger.accept(TENANT, [submission("a", labels=("staff",))])
    sources.add(TENANT, URL, metadata={}, document_labels=("other",), labels=("other",))
    item = claim(sources)
    with pytest.raises(ConflictError) as caught:
        sources.accept(item, [ReadFile(SeenFile("a", "1"), False, [submission("a", labels=("other",))])])
    assert not isinstance(caught.value, SyncEndedError)
    assert ledger.documents(TENANT).items[0].labels == ("staff",)


def test_a_deleted_source_takes_its_documents_along_but_not_those_of_others(sources: Sources, ledger: Ledger) -> None:
    sync(sources, a="1", b="1")
    other = sources.add(TENANT, f"{URL}x/", metadata={})
    sources.accept(claim(sources, other.id), [read("b")])
    mine = next(source for source in sources.list(TENANT) if source.url == URL)
    assert sources.remove(mine.id, TENANT, documents=True).status is SourceStatus.DELETING
    with pytest.raises(ConflictError):
        sources.sync(mine.id, TENANT)
    item = claim(sources)
    assert item.deleting
    assert sources.forget_unseen(item, 10) == 2
    sources.finish(item)
    assert [source.id for source in sources.list(TENANT)] == [other.id]
    states = {document.source: document.status for document in ledger.documents(TENANT).items}
    assert states == {"a": DocumentStatus.DELETING, "b": DocumentStatus.QUEUED}
    sources.remove(other.id, TENANT, documents=False)
    assert sources.list(TENANT) == []
