"""What every ledger does, on SQLite and on PostgreSQL."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from pipelines.core.errors import (
    ConflictError,
    IndexUnavailableError,
    InvalidRequestError,
    MalformedDocumentError,
    NotFoundError,
)
from pipelines.core.state import (
    Database,
    DocumentStatus,
    ItemStatus,
    JobStatus,
    Ledger,
    Submission,
    WorkItem,
    owner_id,
    submit,
)
from pipelines.core.types import Answer, AnswerStatus, Receipt, StageReceipt, Usage
from tests.support.clock import Clock

TENANT = "default"
CHILD = Path(__file__).with_name("ledger_child.py")


@pytest.fixture
def ledger(address: str, clock: Clock) -> Iterator[Ledger]:
    with Ledger(address, clock=clock) as opened:
        yield opened


def submission(number: int = 1, version: str = "a", **changes: object) -> Submission:
    values = {
        "document_id": f"doc-{number}",
        "source": f"file-{number}.pdf",
        "name": f"file-{number}.pdf",
        "content_sha256": version * 64,
        "size_bytes": 10,
        "format": "pdf",
        "blob_key": f"blob-{number}-{version}",
        "fingerprint": f"{version}-{number}",
        "metadata": {"year": 2024, "tags": ("x", "y")},
    }
    return Submission(**(values | changes))  # type: ignore[arg-type]


def claim(ledger: Ledger, limit: int = 10) -> list[WorkItem]:
    return ledger.leases.claim(limit, "elsewhere:1:x", lease_s=60)


def finish(ledger: Ledger, item: WorkItem) -> bool:
    return ledger.leases.finish(item, passages=3, title="Title", text_key=f"text-{item.fingerprint}")


def index(ledger: Ledger, *submissions: Submission) -> None:
    ledger.accept(TENANT, submissions)
    for item in claim(ledger):
        assert finish(ledger, item)


# --- Accepting -------------------------------------------------------------------------------------------------------


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


# --- Failing and retrying --------------------------------------------------------------------------------------------


def test_an_error_that_may_pass_is_tried_again_later_until_attempts_run_out(ledger: Ledger, clock: Clock) -> None:
    job = ledger.accept(TENANT, [submission()])
    for attempt in (1, 2):
        (item,) = claim(ledger)
        assert item.attempt == attempt
        assert ledger.leases.fail(item, IndexUnavailableError("The index is away."))
        assert claim(ledger) == []  # not at once
        clock.move(30)
    (item,) = claim(ledger)
    assert not ledger.leases.fail(item, IndexUnavailableError("The index is away."))
    (record,) = ledger.progress.items(job.id, TENANT)
    assert (record.status, record.attempts, record.error_code) == (ItemStatus.FAILED, 3, "index_unavailable")
    assert ledger.progress.job(job.id, TENANT).status is JobStatus.FAILED


def test_one_failed_document_leaves_the_job_done(ledger: Ledger) -> None:
    job = ledger.accept(TENANT, [submission(1), submission(2)])
    bad, good = claim(ledger)
    ledger.leases.fail(bad, MalformedDocumentError("damaged"))
    finish(ledger, good)
    assert ledger.progress.job(job.id, TENANT).status is JobStatus.DONE
    assert [item.document_id for item in ledger.progress.items(job.id, TENANT, status=ItemStatus.FAILED)] == ["doc-1"]


def test_failed_documents_can_be_retried(ledger: Ledger) -> None:
    job = ledger.accept(TENANT, [submission()])
    ledger.leases.fail(claim(ledger)[0], MalformedDocumentError("damaged"))
    assert ledger.retry_failed(TENANT, job.id) == 1
    assert ledger.retry_failed(TENANT, job.id) == 0
    (item,) = claim(ledger)
    assert item.attempt == 1
    finish(ledger, item)
    assert ledger.progress.job(job.id, TENANT).status is JobStatus.DONE


def test_a_retry_leaves_superseded_failures_alone(ledger: Ledger) -> None:
    job = ledger.accept(TENANT, [submission(version="a")])
    ledger.leases.fail(claim(ledger)[0], MalformedDocumentError("damaged"))
    index(ledger, submission(version="b"))
    assert ledger.retry_failed(TENANT, job.id) == 0
    assert ledger.document("doc-1", TENANT).version == "b-1"
    ledger.accept(TENANT, [submission(version="c")])
    ledger.leases.fail(claim(ledger)[0], MalformedDocumentError("damaged"))
    assert ledger.retry_failed(TENANT, job.id) == 0
    assert ledger.retry_failed(TENANT) == 1
    assert claim(ledger)[0].fingerprint == "c-1"


def test_submitting_a_failed_document_again_tries_again(ledger: Ledger) -> None:
    ledger.accept(TENANT, [submission()])
    ledger.leases.fail(claim(ledger)[0], MalformedDocumentError("damaged"))
    index(ledger, submission())
    assert ledger.document("doc-1", TENANT).error_code is None


def test_a_released_item_is_free_at_once_and_the_try_does_not_count(ledger: Ledger) -> None:
    ledger.accept(TENANT, [submission()])
    ledger.leases.release(claim(ledger)[0])
    assert claim(ledger)[0].attempt == 1


# --- Leases ----------------------------------------------------------------------------------------------------------


def test_an_expired_lease_is_taken_over_and_the_late_worker_changes_nothing(ledger: Ledger, clock: Clock) -> None:
    ledger.accept(TENANT, [submission()])
    (late,) = claim(ledger)
    clock.move(59)
    assert ledger.leases.extend([late], 60) == {late.token}
    clock.move(59)
    assert claim(ledger) == []
    clock.move(2)
    (taken,) = claim(ledger)
    assert taken.attempt == 2
    assert ledger.leases.extend([late], 60) == frozenset()
    assert not finish(ledger, late)
    assert not ledger.leases.fail(late, MalformedDocumentError("late"))
    ledger.leases.release(late)
    assert ledger.document("doc-1", TENANT).status is DocumentStatus.RUNNING
    assert finish(ledger, taken)


def test_a_document_that_kills_every_worker_ends_failed(ledger: Ledger, clock: Clock) -> None:
    job = ledger.accept(TENANT, [submission()])
    for _ in range(3):
        assert len(claim(ledger)) == 1
        clock.move(61)
    assert claim(ledger) == []
    (item,) = ledger.progress.items(job.id, TENANT)
    assert (item.status, item.error_code) == (ItemStatus.FAILED, "document_worker_lost")


def test_a_document_that_kills_every_worker_costs_the_others_nothing(ledger: Ledger, clock: Clock) -> None:
    ledger.accept(TENANT, [submission(number) for number in range(5)])
    for _ in range(20):
        items = claim(ledger)
        if any(item.document_id == "doc-2" for item in items):
            clock.move(61)  # the worker died before it finished any
        else:
            assert all(finish(ledger, item) for item in items)
    documents = {document.id: document.status for document in ledger.documents(TENANT).items}
    assert documents.pop("doc-2") is DocumentStatus.FAILED
    assert set(documents.values()) == {DocumentStatus.INDEXED}


def test_a_document_whose_worker_died_waits_for_a_worker_that_holds_nothing(ledger: Ledger, clock: Clock) -> None:
    ledger.accept(TENANT, [submission(1)])
    claim(ledger)
    clock.move(61)
    ledger.accept(TENANT, [submission(2)])
    ledger.leases.reclaim()
    assert [item.document_id for item in ledger.leases.claim(10, "elsewhere:1:x", 60)] == ["doc-2"]
    assert ledger.leases.claim(10, "elsewhere:1:x", 60, holding=True) == []
    assert [item.document_id for item in ledger.leases.claim(10, "elsewhere:1:x", 60)] == ["doc-1"]


def test_a_worker_knows_how_long_to_wait_for_the_next_try(ledger: Ledger, clock: Clock) -> None:
    assert ledger.leases.next_due_s() is None
    ledger.accept(TENANT, [submission(1), submission(2)])
    assert ledger.leases.next_due_s() == 0
    first, second = claim(ledger)
    assert ledger.leases.next_due_s() is None
    ledger.leases.fail(first, IndexUnavailableError("The index is away."))
    due = ledger.leases.next_due_s()
    assert due is not None
    assert due > 0
    ledger.leases.release(second)
    assert ledger.leases.next_due_s() == 0
    finish(ledger, claim(ledger)[0])
    clock.move(due)
    assert len(claim(ledger)) == 1


def test_the_lease_of_an_earlier_process_with_this_pid_ends_at_once(ledger: Ledger) -> None:
    ledger.accept(TENANT, [submission(1), submission(2)])
    host_pid, _, process = owner_id().rpartition(":")
    ledger.leases.claim(1, f"{owner_id()}/thread-2", lease_s=3600)
    ledger.leases.claim(1, f"{host_pid}:{'0' * len(process)}", lease_s=3600)
    assert [item.document_id for item in ledger.leases.claim(5, owner_id(), lease_s=60)] == ["doc-2"]


def test_a_process_that_is_alone_reclaims_everything(ledger: Ledger) -> None:
    ledger.accept(TENANT, [submission()])
    claim(ledger)
    assert ledger.leases.reclaim() == 0
    assert ledger.leases.reclaim(everyone=True) == 1
    assert len(claim(ledger)) == 1


def test_what_a_killed_process_held_is_claimable_at_once(address: str) -> None:
    with Ledger(address) as ledger:
        ledger.accept(TENANT, [submission()])
        with _child(address, "CLAIM") as child:
            assert child.stdout is not None
            assert child.stdout.readline().strip() == "doc-1"
            assert ledger.leases.claim(1, owner_id(), lease_s=60) == []
            child.kill()
        (item,) = ledger.leases.claim(1, owner_id(), lease_s=60)
        assert item.attempt == 2


def test_threads_never_claim_the_same_document(address: str) -> None:
    with Ledger(address) as ledger:
        ledger.accept(TENANT, [submission(number) for number in range(60)])

        def drain(_: int) -> list[str]:
            mine: list[str] = []
            while items := ledger.leases.claim(4, owner_id(), lease_s=60):
                mine.extend(item.document_id for item in items if finish(ledger, item))
            return mine

        with ThreadPoolExecutor(6) as pool:
            claimed = [document_id for mine in pool.map(drain, range(6)) for document_id in mine]
        assert sorted(claimed) == sorted(f"doc-{number}" for number in range(60))
        assert ledger.counts().documents[DocumentStatus.INDEXED] == 60


def test_processes_never_claim_the_same_document(address: str) -> None:
    with Ledger(address) as ledger:
        ledger.accept(TENANT, [submission(number) for number in range(60)])
        children = [_child(address, "DRAIN") for _ in range(3)]
        claimed = [line for child in children for line in child.communicate(timeout=60)[0].split()]
        assert all(child.returncode == 0 for child in children)
        assert sorted(claimed) == sorted(f"doc-{number}" for number in range(60))


def test_several_processes_may_create_the_schema_at_once(address: str) -> None:
    children = [_child(address, "OPEN") for _ in range(4)]
    assert [child.communicate(timeout=60)[0].strip() for child in children] == ["None"] * 4


def test_threads_accepting_the_same_new_documents_make_them_once(address: str) -> None:
    with Ledger(address) as ledger, ThreadPoolExecutor(4) as pool:
        batch = [submission(number) for number in range(20)]
        jobs = list(pool.map(lambda _: ledger.accept(TENANT, batch), range(4)))
        assert [job.total for job in jobs] == [20] * 4
        assert len(ledger.documents(TENANT).items) == 20


def _child(address: str, action: str) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, str(CHILD), address, action]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


# --- Deleting and cancelling -----------------------------------------------------------------------------------------


def _delete_for_good(ledger: Ledger) -> list[str]:
    deletions = ledger.leases.claim_deletions(10, "elsewhere:1:x", lease_s=60)
    assert all(ledger.leases.purge(deletion) for deletion in deletions)
    return [deletion.document_id for deletion in deletions]


@pytest.mark.parametrize("state", ["queued", "indexed", "failed", "updating"])
def test_a_document_is_deleted_in_any_state(ledger: Ledger, state: str) -> None:
    if state != "queued":
        index(ledger, submission(version="a"))
    if state != "indexed":
        ledger.accept(TENANT, [submission(version="b")])
    if state == "failed":
        ledger.leases.fail(claim(ledger)[0], MalformedDocumentError("damaged"))
    assert ledger.delete_document("doc-1", TENANT).status is DocumentStatus.DELETING
    assert ledger.delete_document("doc-1", TENANT).status is DocumentStatus.DELETING
    assert claim(ledger) == []
    assert _delete_for_good(ledger) == ["doc-1"]
    with pytest.raises(NotFoundError):
        ledger.document("doc-1", TENANT)
    assert ledger.retry_failed(TENANT) == 0


def test_a_running_worker_cannot_bring_a_deleted_document_back(ledger: Ledger) -> None:
    job = ledger.accept(TENANT, [submission()])
    (item,) = claim(ledger)
    ledger.delete_document("doc-1", TENANT)
    assert ledger.progress.job(job.id, TENANT).counts[ItemStatus.CANCELLED] == 1
    assert _delete_for_good(ledger) == []  # the worker may still write
    assert ledger.leases.extend([item], 60) == frozenset()
    assert not finish(ledger, item)
    assert _delete_for_good(ledger) == ["doc-1"]
    assert ledger.documents(TENANT).items == ()


def test_the_deletion_of_a_dead_workers_document_goes_on(ledger: Ledger, clock: Clock) -> None:
    ledger.accept(TENANT, [submission()])
    claim(ledger)
    ledger.delete_document("doc-1", TENANT)
    clock.move(61)
    assert _delete_for_good(ledger) == ["doc-1"]


def test_a_document_submitted_while_it_is_deleted_comes_back_afterwards(ledger: Ledger, clock: Clock) -> None:
    index(ledger, submission())
    ledger.delete_document("doc-1", TENANT)
    (slow,) = ledger.leases.claim_deletions(1, "elsewhere:1:x", lease_s=60)
    assert ledger.leases.claim_deletions(1, "elsewhere:1:x", lease_s=60) == []
    job = ledger.accept(TENANT, [submission()])
    assert claim(ledger) == []
    clock.move(61)
    assert _delete_for_good(ledger) == ["doc-1"]
    assert not ledger.leases.purge(slow)
    (item,) = claim(ledger)
    assert item.replaces == ()
    finish(ledger, item)
    assert ledger.progress.job(job.id, TENANT).status is JobStatus.DONE
    assert ledger.document("doc-1", TENANT).status is DocumentStatus.INDEXED


def test_cancelling_ends_what_is_outstanding(ledger: Ledger) -> None:
    index(ledger, submission(1, "a"))
    job = ledger.accept(TENANT, [submission(1, "b"), submission(2), submission(3)])
    (running,) = claim(ledger, limit=1)
    cancelled = ledger.cancel(job.id, TENANT)
    assert (cancelled.status, cancelled.counts[ItemStatus.CANCELLED]) == (JobStatus.CANCELLED, 3)
    assert ledger.cancel(job.id, TENANT) == cancelled
    assert claim(ledger) == []
    assert ledger.leases.extend([running], 60) == frozenset()
    ledger.leases.release(running)
    kept, never = (ledger.document(document_id, TENANT) for document_id in ("doc-1", "doc-2"))
    assert (kept.status, kept.version) == (DocumentStatus.INDEXED, "a-1")
    assert (never.status, never.error_code) == (DocumentStatus.FAILED, "cancelled")
    assert ledger.accept(TENANT, [submission(2)]).counts[ItemStatus.QUEUED] == 1


def test_cancelling_spares_what_another_job_waits_for(ledger: Ledger) -> None:
    first, second = (ledger.accept(TENANT, [submission()]) for _ in range(2))
    ledger.cancel(first.id, TENANT)
    (item,) = claim(ledger)
    finish(ledger, item)
    assert ledger.progress.job(first.id, TENANT).status is JobStatus.CANCELLED
    assert ledger.progress.job(second.id, TENANT).status is JobStatus.DONE


# --- Reading ---------------------------------------------------------------------------------------------------------


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


def test_job_items_come_in_pages(ledger: Ledger) -> None:
    job = ledger.accept(TENANT, [submission(number) for number in range(3)])
    assert [item.ordinal for item in ledger.progress.items(job.id, TENANT, limit=2)] == [0, 1]
    assert [item.ordinal for item in ledger.progress.items(job.id, TENANT, after=1)] == [2]


def test_counts_tell_how_long_the_oldest_waits(ledger: Ledger, clock: Clock) -> None:
    assert ledger.counts().oldest_queued_s is None
    ledger.accept(TENANT, [submission()])
    clock.move(5)
    counts = ledger.counts()
    assert counts.documents[DocumentStatus.QUEUED] == 1
    assert counts.oldest_queued_s == pytest.approx(5, abs=0.1)


def test_a_receipt_is_kept_without_any_text(ledger: Ledger) -> None:
    usage = Usage(calls=2, tokens_in=10, tokens_out=5, cost_usd=0.25)
    stage = StageReceipt(stage="plan", tier="small", model="m", usage=usage, ms=3)
    receipt = Receipt(stages=(stage,), total_ms=7.5, large_tokens_avoided=4)
    answer = Answer(
        id="a-1", question="secret", status=AnswerStatus.ANSWERED, text="secret", receipt=receipt, config_version="v1"
    )
    ledger.receipts.record(TENANT, answer)
    ledger.receipts.record(TENANT, answer)
    record = ledger.receipts.of("a-1", TENANT)
    assert (record.receipt, record.cost_usd, record.tokens_in, record.total_ms) == (receipt, 0.25, 10, 7.5)
    assert "secret" not in repr(record)
    with pytest.raises(NotFoundError):
        ledger.receipts.of("a-1", "other")


def test_a_job_of_many_parts_is_cancelled_whole(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "PART", 3)
    kept = ledger.accept(TENANT, [submission(4)])
    job = ledger.accept(TENANT, [*map(submission, range(7)), submission(1, "b")])
    assert ledger.cancel(job.id, TENANT).counts[ItemStatus.CANCELLED] == 7
    assert [item.document_id for item in claim(ledger)] == ["doc-4"]
    assert ledger.progress.job(kept.id, TENANT).status is JobStatus.RUNNING


def test_documents_of_many_parts_are_all_retried(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "PART", 3)
    ledger.accept(TENANT, [*map(submission, range(4))])
    both = ledger.accept(TENANT, [*map(submission, range(7))])
    for item in claim(ledger):
        ledger.leases.fail(item, MalformedDocumentError("No."))
    assert ledger.retry_failed(TENANT) == 7
    assert ledger.progress.job(both.id, TENANT).counts[ItemStatus.QUEUED] == 7
    assert len(claim(ledger)) == 7


# --- Many at once ----------------------------------------------------------------------------------------------------


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


@pytest.mark.network
def test_a_claim_reads_no_more_of_the_queue_than_it_takes(postgres_url: str) -> None:
    with Ledger(postgres_url) as ledger:
        ledger.accept(TENANT, [submission(number) for number in range(50)])
        engine = Database(postgres_url).engine
        plans: list[str] = []

        def explain(connection: Connection, _cursor: object, statement: str, values: Any, *_: object) -> None:
            if statement.startswith("SELECT") and "queued_at, documents.id" in statement:
                connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # of fifty rows all would be read
                plans.extend(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", values))

        event.listen(engine, "before_cursor_execute", explain)
        assert len(claim(Ledger(engine), 5)) == 5
        engine.dispose()
    assert any("ix_documents_queue" in line for line in plans)
    assert not any("Sort" in line for line in plans)
