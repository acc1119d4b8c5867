"""What callers do to documents: submit, delete, retry, cancel. Each function runs inside one write transaction."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.orm import Session

from pipelines.core.access import Labels, Principal
from pipelines.core.errors import ConflictError, ForbiddenError, InvalidRequestError
from pipelines.core.state import jobs
from pipelines.core.state.document_rows import (
    OPEN,
    chunks,
    close,
    describe,
    items_of,
    locked,
    new_document,
    new_item,
    open_items,
    owned,
    source_hash,
)
from pipelines.core.state.records import DocumentStatus, ItemStatus, Submission
from pipelines.core.state.storable import clean
from pipelines.core.state.tables import DocumentRow, JobItemRow, JobRow

PART = 1000  # of what one transaction holds in memory, and locks


def accept(
    session: Session, job: JobRow, submissions: Sequence[Submission], now: datetime, labels: Labels | None = None
) -> None:
    """Adds documents to a job, behind those that it has.

    Args:
        labels: Access labels of whoever submits; `None`: every one.
    """
    if not submissions:
        raise InvalidRequestError("A submission needs at least one document.")
    tenant, before, submitter = job.tenant, job.total, Principal(tenant=job.tenant, labels=labels)
    job.total += len(submissions)
    documents = locked(session, [submission.document_id for submission in submissions])
    _check_sources(session, tenant, submissions)
    outstanding = open_items(session, documents)
    new: dict[str, DocumentRow] = {}
    for ordinal, submission in enumerate(submissions, before):
        item = new_item(job.id, ordinal, submission, now)
        document = documents.get(item.document_id)
        if document is None:
            document = documents[item.document_id] = new[item.document_id] = new_document(tenant, item, now)
        elif document.tenant != tenant or document.source != item.source:
            raise ConflictError(
                f"Document {document.id} belongs to another source; ids must be derived from the source."
            )
        others = outstanding.setdefault(document.id, [])
        _check_owner(submitter, document, others)
        _place(document, item, others, now)
        others.append(item)
        session.add(item)
    session.add_all(row for _, row in sorted(new.items()))  # in the order of `locked`: rows wait for others' like them


def _check_owner(submitter: Principal, document: DocumentRow, others: Iterable[JobItemRow]) -> None:
    """Refuses to replace what belongs to readers with other labels. Says the same of what is seen and what is not."""
    outstanding = [other.labels for other in others if other.status in OPEN]
    if not all(submitter.owns(labels) for labels in (document.labels, *outstanding)):
        raise ConflictError(f"The source {document.source!r} is taken by a document that this key may not replace.")


def _place(document: DocumentRow, item: JobItemRow, others: Iterable[JobItemRow], now: datetime) -> None:
    """Decides what a submission means for its document. The newest submission wins."""
    running = document.status == DocumentStatus.RUNNING
    if (
        document.status in (DocumentStatus.QUEUED, DocumentStatus.RUNNING)
        and document.pending_version == item.fingerprint
    ):
        item.status = ItemStatus.RUNNING if running else ItemStatus.QUEUED  # rides along with the same work
        item.started_at = now if running else None
        item.attempts = document.attempts
        return
    for other in others:
        if other.fingerprint != item.fingerprint and other.status in OPEN:
            close(other, ItemStatus.SUPERSEDED, now)
    document.updated_at = now
    document.error_code = document.error_detail = None
    document.attempts = 0
    deleting = document.status == DocumentStatus.DELETING
    if document.version == item.fingerprint and not document.version_uncertain and not deleting:
        close(item, ItemStatus.UNCHANGED, now)
        document.pending_version = None
        document.status = DocumentStatus.INDEXED
        return
    document.pending_version = item.fingerprint
    document.queued_at = now
    document.not_before = None
    if document.version is None:
        describe(document, item)
    if not deleting:  # else it is queued when the old one is gone
        document.status = DocumentStatus.QUEUED


def delete(session: Session, tenant: str, document_id: str, now: datetime, labels: Labels | None = None) -> DocumentRow:
    """Marks a document for deletion, whatever its state."""
    document = owned(session, tenant, document_id, labels)
    items = open_items(session, {document.id: document}).get(document.id, [])
    deleter = Principal(tenant=tenant, labels=labels)
    if not all(deleter.owns(carried) for carried in (document.labels, *(item.labels for item in items))):
        raise ForbiddenError("This API key is bound to access labels: it deletes only documents that carry no others.")
    for item in items:
        close(item, ItemStatus.CANCELLED, now)
        item.error_detail = "The document was deleted."
    document.status = DocumentStatus.DELETING
    document.pending_version = None
    document.updated_at = now
    return document


def cancel(
    session: Session, tenant: str, job_id: str, now: datetime, labels: Labels | None = None, *, after: int = -1
) -> int | None:
    """Cancels a part of what a job has outstanding, except where another job waits for the same work.

    Args:
        after: Ordinal behind which the part begins.

    Returns:
        Where the next part begins; `None` after the last. From the first one on, nothing is added to the job.
    """
    job = jobs.locked(session, tenant, job_id, labels)
    job.cancelled_at = job.cancelled_at or now
    statement = select(JobItemRow.ordinal, JobItemRow.document_id).where(
        JobItemRow.job_id == job_id, JobItemRow.ordinal > after, JobItemRow.status.in_(OPEN)
    )
    part = session.execute(statement.order_by(JobItemRow.ordinal).limit(PART)).all()
    documents = locked(session, [document_id for _, document_id in part])
    outstanding = open_items(session, documents)
    for document in documents.values():
        items = outstanding.get(document.id, [])
        for item in items:
            if item.job_id == job_id:
                close(item, ItemStatus.CANCELLED, now)
        wanted = any(item.status in OPEN and item.fingerprint == document.pending_version for item in items)
        if not wanted and document.status in (DocumentStatus.QUEUED, DocumentStatus.RUNNING):
            _abandon(document, now)
        elif not wanted and document.status == DocumentStatus.DELETING:
            document.pending_version = None
    return part[-1].ordinal if len(part) == PART else None


def _abandon(document: DocumentRow, now: datetime) -> None:
    document.pending_version = None
    document.updated_at = now
    document.attempts = 0
    if document.version is not None:
        document.status = DocumentStatus.INDEXED
        document.error_code = document.error_detail = None
    else:
        document.status = DocumentStatus.FAILED
        document.error_code = "cancelled"
        document.error_detail = "The job was cancelled before this document was indexed."


def retry(
    session: Session,
    tenant: str,
    job_id: str | None,
    now: datetime,
    labels: Labels | None = None,
    *,
    after: tuple[str, int] = ("", -1),
) -> tuple[int, tuple[str, int] | None]:
    """Queues a part of the failed documents again: of those of a job, or of all of the tenant.

    Args:
        after: Job and ordinal behind which the part begins.

    Returns:
        How many, and where the next part begins; `None` after the last.
    """
    failed: list[ColumnElement[bool]] = [JobItemRow.status == ItemStatus.FAILED]
    if job_id is not None:
        failed.append(JobItemRow.job_id == jobs.owned(session, tenant, job_id, labels).id)
    place = (JobItemRow.job_id, JobItemRow.ordinal)
    statement = select(*place, JobItemRow.document_id).where(*failed, tuple_(*place) > tuple_(*after))
    theirs = JobItemRow.job_id.in_(select(JobRow.id).where(JobRow.tenant == tenant))
    part = session.execute(statement.where(theirs).order_by(*place).limit(PART)).all()
    # what an item says is certain only once its document is locked: it is read again
    documents = locked(session, [document_id for _, _, document_id in part])
    again: set[str] = set()
    for item in items_of(session, documents, *failed):
        document = documents[item.document_id]
        if document.pending_version != item.fingerprint:
            continue  # a newer submission came since
        if document.status == DocumentStatus.FAILED:
            again.add(document.id)
            document.status = DocumentStatus.QUEUED
            document.queued_at = document.updated_at = now
            document.not_before = document.error_code = document.error_detail = None
            document.attempts = 0
        if document.id in again:
            item.status = ItemStatus.QUEUED
            item.error_code = item.error_detail = item.finished_at = None
            item.attempts = 0
            item.updated_at = now
    return len(again), (part[-1].job_id, part[-1].ordinal) if len(part) == PART else None


def _check_sources(session: Session, tenant: str, submissions: Sequence[Submission]) -> None:
    """Refuses a source that the tenant has under another id already, in the ledger or in this batch."""
    ids: dict[str, str] = {}
    for submission in submissions:
        if ids.setdefault(source_hash(clean(submission.source)), submission.document_id) != submission.document_id:
            raise ConflictError(f"The source {clean(submission.source)!r} was submitted under two document ids.")
    for chunk in chunks(sorted(ids)):
        statement = select(DocumentRow.source_sha256, DocumentRow.id, DocumentRow.source).where(
            DocumentRow.tenant == tenant, DocumentRow.source_sha256.in_(chunk)
        )
        for digest, document_id, source in session.execute(statement):
            if ids[digest] != document_id:
                raise ConflictError(f"The source {source!r} is document {document_id} already.")
