"""The record of reindexes, on SQLite and on PostgreSQL."""

import threading

import pytest

from pipelines.core.errors import ConflictError
from pipelines.core.state import (
    DocumentStatus,
    Ledger,
    Reindexed,
    Reindexes,
    Reindexing,
    Standing,
    Submission,
    WorkItem,
)
from tests.support.clock import Clock

TENANT = "default"


@pytest.fixture
def book(ledger: Ledger) -> Reindexes:
    return ledger.reindexes


def claim(ledger: Ledger, *names: str, version: str = "v1") -> list[WorkItem]:
    ledger.accept(
        TENANT,
        [
            Submission(
                document_id=name,
                source=f"{name}.md",
                name=f"{name}.md",
                content_sha256=version,
                size_bytes=1,
                format="md",
                blob_key=f"blob-{name}-{version}",
                fingerprint=f"{version}-{name}",
            )
            for name in names
        ],
    )
    return ledger.leases.claim(100, "elsewhere:1:x", lease_s=60)


def finish(ledger: Ledger, item: WorkItem) -> bool:
    return ledger.leases.finish(item, passages=1, title="Old", text_key=f"text-{item.fingerprint}", build="old")


def index(ledger: Ledger, *names: str, version: str = "v1") -> list[bool]:
    return [finish(ledger, item) for item in claim(ledger, *names, version=version)]


def begin(book: Reindexes, preparation: str = "new", shadow: str = "shadow") -> Reindexing:
    run = book.begin("old", preparation, lease_s=60)
    book.attach(run, shadow)
    return run


def record_all(book: Reindexes, shadow: str = "shadow") -> None:
    for each in book.outstanding(shadow):
        assert each.version is not None
        book.record(
            shadow,
            Reindexed(
                document_id=each.id,
                source_version=each.version,
                version=f"new-{each.version}",
                passages=7,
                title="New",
                text_key=f"text-new-{each.version}",
            ),
        )


def outstanding(book: Reindexes, **which: object) -> list[str]:
    return [each.id for each in book.outstanding("shadow", **which)]  # type: ignore[arg-type]


def test_what_the_shadow_lacks_is_what_was_added_and_changed_since(ledger: Ledger, book: Reindexes) -> None:
    index(ledger, "a", "b", "c")
    begin(book)
    assert (outstanding(book), book.count("shadow")) == (["a", "b", "c"], 3)
    assert outstanding(book, after="a", limit=1) == ["b"]
    record_all(book)
    assert (outstanding(book), book.count("shadow"), book.gone("shadow")) == ([], 0, [])
    index(ledger, "b", version="v2")
    index(ledger, "d")
    ledger.delete_document("a", TENANT)
    assert (outstanding(book), book.gone("shadow")) == (["b", "d"], ["a"])
    book.drop("shadow", ["a"])
    assert book.gone("shadow") == []


def test_documents_are_handed_over_at_once_and_only_when_nothing_is_lacking(ledger: Ledger, book: Reindexes) -> None:
    index(ledger, "a", "b")
    run = begin(book)
    record_all(book)
    index(ledger, "c")
    assert not book.swap(run, "shadow")
    assert ledger.document("a", TENANT).version == "v1-a"
    record_all(book)
    ledger.delete_document("b", TENANT)
    assert not book.swap(run, "shadow")
    book.drop("shadow", book.gone("shadow"))
    assert book.swap(run, "shadow")
    document = ledger.document("a", TENANT)
    assert (document.version, document.passages, document.title) == ("new-v1-a", 7, "New")
    assert document.text_key == "text-new-v1-a"
    assert ledger.document("b", TENANT).version == "v1-b"
    assert ledger.unreferenced(["text-new-v1-a", "text-v1-a"]) == ["text-v1-a"]
    book.forget(run)
    assert ledger.unreferenced(["text-new-v1-c"]) == []


def test_nothing_is_recorded_of_a_replaced_index(ledger: Ledger, book: Reindexes) -> None:
    index(ledger, "a", "b")
    run = begin(book)
    record_all(book)
    ledger.delete_document("b", TENANT)
    (deletion,) = ledger.leases.claim_deletions(1, "elsewhere:1:x", lease_s=60)
    book.drop("shadow", book.gone("shadow"))
    assert book.swap(run, "shadow")
    assert (book.standing("old"), book.standing("shadow")) == (Standing.RETIRED, Standing.LIVE)
    assert not ledger.leases.purge(deletion, build="old")
    assert ledger.document("b", TENANT).status is DocumentStatus.DELETING
    assert index(ledger, "a", version="v2") == [False]
    document = ledger.document("a", TENANT)
    assert (document.status, document.version, document.pending_version) == (
        DocumentStatus.QUEUED,
        "new-v1-a",
        "v2-a",
    )
    (item,) = ledger.leases.claim(1, "elsewhere:1:x", lease_s=60)
    assert item.attempt == 1
    assert ledger.leases.finish(item, passages=1, title="t", text_key=None, build="shadow")
    (deletion,) = ledger.leases.claim_deletions(1, "elsewhere:1:x", lease_s=60)
    assert ledger.leases.purge(deletion, build="shadow")


def test_a_worker_that_reports_while_documents_are_handed_over_is_seen_or_refused(
    ledger: Ledger, book: Reindexes
) -> None:
    names = [f"d{number}" for number in range(20)]
    index(ledger, *names)
    run = begin(book)
    record_all(book)
    items = claim(ledger, *names, version="v2")
    recorded: dict[str, bool] = {}

    def report() -> None:
        for item in items:
            recorded[item.document_id] = finish(ledger, item)

    worker = threading.Thread(target=report, daemon=True)
    worker.start()
    while len(recorded) < 5 or not book.swap(run, "shadow"):
        record_all(book)
    worker.join()
    for name in names:
        document = ledger.document(name, TENANT)
        assert document.version == (f"new-v2-{name}" if recorded[name] else f"new-v1-{name}")
        assert document.status is (DocumentStatus.INDEXED if recorded[name] else DocumentStatus.QUEUED)


def test_publishing_is_held_for_a_while(book: Reindexes, clock: Clock) -> None:
    run = begin(book)
    assert book.standing("old") is Standing.LIVE
    book.hold(run, 30)
    assert book.standing("old") is Standing.HELD
    book.hold(run, 0)
    assert book.standing("old") is Standing.LIVE
    book.hold(run, 30)
    clock.move(31)  # the reindex was killed
    assert book.standing("old") is Standing.LIVE


def test_one_reindex_at_a_time(book: Reindexes, clock: Clock) -> None:
    run = begin(book)
    with pytest.raises(ConflictError, match="running already"):
        begin(book)
    clock.move(50)
    book.extend(run, 60)
    clock.move(50)
    with pytest.raises(ConflictError):
        begin(book)
    clock.move(11)
    other = begin(book)
    for late in (lambda: book.extend(run, 60), lambda: book.hold(run, 60), lambda: book.swap(run, "shadow")):
        with pytest.raises(ConflictError, match="taken over"):
            late()
    book.end(run)
    book.extend(other, 60)
    book.end(other)
    begin(book)


def test_what_another_reindex_left_is_taken_up_where_it_is_of_use(ledger: Ledger, book: Reindexes) -> None:
    index(ledger, "a", "b")
    run = begin(book)
    record_all(book)
    book.end(run)
    again = book.begin("old", "new", lease_s=60)
    assert (again.shadow, again.retired) == ("shadow", False)
    book.attach(again, "shadow")
    assert outstanding(book) == []
    book.end(again)
    other = book.begin("old", "newer", lease_s=60)
    assert other.shadow is None
    book.attach(other, "another")
    assert [each.id for each in book.outstanding("another")] == ["a", "b"]
    assert ledger.unreferenced(["text-new-v1-a"]) == ["text-new-v1-a"]


def test_a_hand_over_without_a_swap_is_told_to_the_next_reindex(ledger: Ledger, book: Reindexes) -> None:
    index(ledger, "a")
    run = begin(book)
    record_all(book)
    assert book.swap(run, "shadow")
    book.end(run)
    again = book.begin("old", "newer", lease_s=60)
    assert (again.shadow, again.retired) == ("shadow", True)
    book.attach(again, "another")  # the shadow was lost
    assert book.standing("old") is Standing.LIVE
    assert [each.id for each in book.outstanding("another")] == ["a"]
