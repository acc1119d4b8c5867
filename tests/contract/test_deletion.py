"""Documents are deleted in any state: on SQLite and on PostgreSQL."""

import pytest

from pipelines.core.errors import MalformedDocumentError, NotFoundError
from pipelines.core.state import DocumentStatus, ItemStatus, JobStatus, Ledger
from tests.support.clock import Clock
from tests.support.documents import TENANT, claim, finish, index, submission


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
