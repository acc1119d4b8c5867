"""What every ledger does with what it is given, and shows of it: on SQLite and on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.core.errors import ConflictError, InvalidRequestError, MalformedDocumentError, NotFoundError
from pipelines.core.state import DocumentStatus, ItemStatus, JobStatus, Ledger
from tests.support.clock import Clock
from tests.support.documents import TENANT, claim, finish, index, submission


def test_an_accepted_batch_is_queued_claimed_once_and_ends_indexed(ledger: Ledger) -> None:
    job = ledger.accept(TENANT, [submission(1), submission(2)])
    assert (job.status, job.total, job.counts[ItemStatus.QUEUED], job.finished_at) == (JobStatus.QUEUED, 2, 2, None)
    items = claim(ledger)
    assert [item.document_id for item in items] == ["doc-1", "doc-2"]
    assert items[0].metadata == {"year": 2024, "tags": ("x", "y")}
    assert claim(ledger) == []
    assert ledger.progress.job(job.id, TENANT).status is JobStatus.RUNNING
    assert all(finish(ledger, item) for item in items)
    document = ledger.document("doc-1", TENANT)
    assert (document.status, document.version, document.pending_version) == (DocumentStatus.INDEXED, "a-1", None)
    assert (document.passages, document.title, document.text_key) == (3, "Title", "text-a-1")
    assert document.metadata == {"year": 2024, "tags": ("x", "y")}
    done = ledger.progress.job(job.id, TENANT)
    assert done.status is JobStatus.DONE
    assert done.finished_at is not None


def test_an_unchanged_document_is_not_queued_again(ledger: Ledger) -> None:
    index(ledger, submission())
    job = ledger.accept(TENANT, [submission()])
    assert (job.status, job.counts[ItemStatus.UNCHANGED]) == (JobStatus.DONE, 1)
    assert claim(ledger) == []


def test_the_same_content_joins_the_work_that_is_under_way(ledger: Ledger) -> None:
    first = ledger.accept(TENANT, [submission()])
    second = ledger.accept(TENANT, [submission(), submission()])
    (item,) = claim(ledger)
    third = ledger.accept(TENANT, [submission()])
    assert third.counts[ItemStatus.RUNNING] == 1
    assert claim(ledger) == []
    finish(ledger, item)
    assert [ledger.progress.job(job.id, TENANT).counts[ItemStatus.INDEXED] for job in (first, second, third)] == [
        1,
        2,
        1,
    ]


def test_the_newest_of_two_queued_versions_wins(ledger: Ledger) -> None:
    old = ledger.accept(TENANT, [submission(version="a")])
    ledger.accept(TENANT, [submission(version="b")])
    assert ledger.progress.job(old.id, TENANT).counts[ItemStatus.SUPERSEDED] == 1
    assert [item.fingerprint for item in claim(ledger)] == ["b-1"]


def test_a_new_version_waits_for_the_worker_that_has_the_old_one(ledger: Ledger) -> None:
    ledger.accept(TENANT, [submission(version="a")])
    (old,) = claim(ledger)
    ledger.accept(TENANT, [submission(version="b")])
    assert claim(ledger) == []
    assert ledger.leases.extend([old], 60) == frozenset()
    assert finish(ledger, old)  # it had published before it learnt of it: what the index shows is recorded
    document = ledger.document("doc-1", TENANT)
    assert (document.status, document.version, document.pending_version) == (DocumentStatus.QUEUED, "a-1", "b-1")
    (new,) = claim(ledger)
    assert set(new.replaces) == {"blob-1-a", "text-a-1"}
    finish(ledger, new)
    assert ledger.document("doc-1", TENANT).version == "b-1"
    assert ledger.unreferenced([*new.replaces, "blob-1-b"]) == ["blob-1-a", "text-a-1"]


def test_going_back_to_the_indexed_version_while_another_runs_is_work(ledger: Ledger, clock: Clock) -> None:
    index(ledger, submission(version="a"))
    ledger.accept(TENANT, [submission(version="b")])
    claim(ledger)  # may publish b, and dies before it can say so
    job = ledger.accept(TENANT, [submission(version="a")])
    assert job.counts[ItemStatus.QUEUED] == 1
    clock.move(61)
    assert [item.fingerprint for item in claim(ledger)] == ["a-1"]


def test_a_failed_update_keeps_the_version_that_is_shown(ledger: Ledger) -> None:
    index(ledger, submission(version="a"))
    ledger.accept(TENANT, [submission(version="b")])
    (item,) = claim(ledger)
    assert not ledger.leases.fail(item, MalformedDocumentError("The file is damaged."))
    document = ledger.document("doc-1", TENANT)
    assert (document.status, document.version, document.blob_key) == (DocumentStatus.FAILED, "a-1", "blob-1-a")
    assert (document.error_code, document.error_detail) == ("document_malformed", "The file is damaged.")
    assert ledger.unreferenced(["blob-1-b"]) == []  # a retry needs it


def test_a_batch_is_accepted_whole_or_not_at_all(ledger: Ledger) -> None:
    index(ledger, submission(1))
    with pytest.raises(ConflictError):
        ledger.accept("other", [submission(2), submission(1)])
    with pytest.raises(ConflictError):
        ledger.accept(TENANT, [submission(2), submission(3, source="file-1.pdf")])
    with pytest.raises(ConflictError):
        ledger.accept(TENANT, [submission(2), submission(3, source="file-2.pdf")])
    with pytest.raises(InvalidRequestError):
        ledger.accept(TENANT, [])
    assert len(ledger.documents("other").items) == 0
    assert [document.id for document in ledger.documents(TENANT).items] == ["doc-1"]


def test_names_that_databases_cannot_store_are_kept_readable(ledger: Ledger) -> None:
    hostile = submission(source="a\x00b\udcff" + "ü" * 4000, name="\ud800", metadata={"k\x00": "v\udcff"})
    index(ledger, hostile)
    document = ledger.document("doc-1", TENANT)
    assert document.source.startswith("a\\x00b\\udcffü")
    assert (document.name, document.metadata) == ("\\ud800", {"k\\x00": "v\\udcff"})
    assert ledger.accept(TENANT, [hostile]).counts[ItemStatus.UNCHANGED] == 1


def test_a_thousand_documents_are_one_batch(ledger: Ledger) -> None:
    job = ledger.accept(TENANT, [submission(number) for number in range(1000)])
    assert job.counts[ItemStatus.QUEUED] == 1000
    assert ledger.accept(TENANT, [submission(number, "b") for number in range(1000)]).total == 1000
    assert ledger.progress.job(job.id, TENANT).counts[ItemStatus.SUPERSEDED] == 1000


def test_threads_accepting_the_same_new_documents_make_them_once(address: str) -> None:
    with Ledger(address) as ledger, ThreadPoolExecutor(4) as pool:
        batch = [submission(number) for number in range(20)]
        jobs = list(pool.map(lambda _: ledger.accept(TENANT, batch), range(4)))
        assert [job.total for job in jobs] == [20] * 4
        assert len(ledger.documents(TENANT).items) == 20


def test_tenants_do_not_see_each_other(ledger: Ledger) -> None:
    job = ledger.accept(TENANT, [submission()])
    assert ledger.documents("other").items == ()
    assert ledger.counts("other").documents[DocumentStatus.QUEUED] == 0
    assert ledger.retry_failed("other") == 0
    calls = [
        lambda: ledger.document("doc-1", "other"),
        lambda: ledger.delete_document("doc-1", "other"),
        lambda: ledger.progress.job(job.id, "other"),
        lambda: ledger.progress.items(job.id, "other"),
        lambda: ledger.cancel(job.id, "other"),
        lambda: ledger.retry_failed("other", job.id),
    ]
    for call in calls:
        with pytest.raises(NotFoundError):
            call()


@pytest.mark.parametrize("hostile", ["a\x00b", "\ud800", "", "x" * 10_000, "'; DROP TABLE jobs; --", "%"])
def test_hostile_ids_find_nothing(ledger: Ledger, hostile: str) -> None:
    ledger.accept(TENANT, [submission()])
    for call in (
        ledger.document,
        ledger.progress.job,
        ledger.progress.items,
        ledger.receipts.of,
        ledger.delete_document,
        ledger.cancel,
    ):
        with pytest.raises((NotFoundError, InvalidRequestError)):
            call(hostile, TENANT)
    with pytest.raises(InvalidRequestError):
        ledger.accept("x" * 200 + hostile, [submission(2)])
    assert ledger.counts().documents[DocumentStatus.QUEUED] == 1


def test_documents_come_in_pages_and_by_status(ledger: Ledger) -> None:
    index(ledger, *(submission(number) for number in range(3)))
    ledger.accept(TENANT, [submission(number) for number in range(3, 7)])
    seen, cursor = [], None
    for _ in range(4):
        page = ledger.documents(TENANT, limit=2, cursor=cursor)
        seen.extend(document.id for document in page.items)
        cursor = page.next_cursor
    assert seen == [f"doc-{number}" for number in range(7)]
    assert cursor is None
    assert len(ledger.documents(TENANT, status=DocumentStatus.INDEXED).items) == 3


@pytest.mark.parametrize("cursor", ["", "x", "bm9uc2Vuc2U=", "WzEsMl0=", "ü", "bnVsbA=="])
def test_a_foreign_cursor_is_refused(ledger: Ledger, cursor: str) -> None:
    with pytest.raises(InvalidRequestError):
        ledger.documents(TENANT, cursor=cursor)


def test_counts_tell_how_long_the_oldest_waits(ledger: Ledger, clock: Clock) -> None:
    assert ledger.counts().oldest_queued_s is None
    ledger.accept(TENANT, [submission()])
    clock.move(5)
    counts = ledger.counts()
    assert counts.documents[DocumentStatus.QUEUED] == 1
    assert counts.oldest_queued_s == pytest.approx(5, abs=0.1)


def test_nobody_waits_in_a_circle_for_several_documents(ledger: Ledger) -> None:
    known = [submission(number) for number in range(40)]
    ledger.accept(TENANT, known)
    held = claim(ledger, 40)

    def submit_known() -> None:
        for _ in range(10):
            ledger.accept(TENANT, known[::-1])

    def submit_new(backwards: bool) -> None:
        for turn in range(10):
            new = [submission(100 * (turn + 1) + number) for number in range(40)]
            ledger.accept(TENANT, new[::-1] if backwards else new)

    def prolong() -> None:
        for turn in range(40):
            assert len(ledger.leases.extend(held[::-1] if turn % 2 else held, 60)) == 40

    with ThreadPoolExecutor() as pool:
        done = [pool.submit(submit_known), pool.submit(prolong)]
        done += [pool.submit(submit_new, backwards) for backwards in (False, True)]
        for each in done:
            each.result()
