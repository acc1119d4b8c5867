"""Callers have failed documents tried again, and cancel jobs: on SQLite and on PostgreSQL."""

import pytest

from pipelines.core.errors import MalformedDocumentError
from pipelines.core.state import DocumentStatus, ItemStatus, JobStatus, Ledger, submit
from tests.support.documents import TENANT, claim, finish, index, submission


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


def test_documents_of_many_parts_are_all_retried(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "PART", 3)
    ledger.accept(TENANT, [*map(submission, range(4))])
    both = ledger.accept(TENANT, [*map(submission, range(7))])
    for item in claim(ledger):
        ledger.leases.fail(item, MalformedDocumentError("No."))
    assert ledger.retry_failed(TENANT) == 7
    assert ledger.progress.job(both.id, TENANT).counts[ItemStatus.QUEUED] == 7
    assert len(claim(ledger)) == 7


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


def test_a_job_of_many_parts_is_cancelled_whole(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "PART", 3)
    kept = ledger.accept(TENANT, [submission(4)])
    job = ledger.accept(TENANT, [*map(submission, range(7)), submission(1, "b")])
    assert ledger.cancel(job.id, TENANT).counts[ItemStatus.CANCELLED] == 7
    assert [item.document_id for item in claim(ledger)] == ["doc-4"]
    assert ledger.progress.job(kept.id, TENANT).status is JobStatus.RUNNING
