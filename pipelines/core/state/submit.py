"""What callers do to documents: submit, delete, retry, cancel. Each function runs inside one write transaction."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, select, tuple_, update
from sqlalchemy.orm import Session

from pipelines.core.access import Labels, Principal
from pipelines.core.errors import ConflictError, ForbiddenError, InvalidRequestError, NotFoundError
from pipelines.core.state import jobs
from pipelines.core.state.records import DocumentStatus, ItemStatus, Metadata, Submission
from pipelines.core.state.tables import DocumentRow, JobItemRow, JobRow

OPEN = (ItemStatus.QUEUED, ItemStatus.RUNNING)
PART = 1000  # of what one transaction holds in memory, and locks
CHUNK = 400  # SQLite and PostgreSQL bound the parameters of one statement


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
    open_items = _open_items(session, documents)
    new: dict[str, DocumentRow] = {}
    for ordinal, submission in enumerate(submissions, before):
        item = _item(job.id, ordinal, submission, now)
        document = documents.get(item.document_id)
        if document is None:
            document = documents[item.document_id] = new[item.document_id] = _new_document(tenant, item, now)
        elif document.tenant != tenant or document.source != item.source:
            raise ConflictError(
                f"Document {document.id} belongs to another source; ids must be derived from the source."
            )
        others = open_items.setdefault(document.id, [])
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


def describe(document: DocumentRow, item: JobItemRow) -> None:
    """Makes a document that was never indexed look like its newest submission; none but its readers may know of it."""
    document.name, document.format, document.blob_key = item.name, item.format, item.blob_key
    document.content_sha256, document.size_bytes = item.content_sha256, item.size_bytes
    document.metadata_, document.labels = item.metadata_, item.labels


def delete(session: Session, tenant: str, document_id: str, now: datetime, labels: Labels | None = None) -> DocumentRow:
    """Marks a document for deletion, whatever its state."""
    document = owned(session, tenant, document_id, labels)
    items = _open_items(session, {document.id: document}).get(document.id, [])
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
    open_items = _open_items(session, documents)
    for document in documents.values():
        items = open_items.get(document.id, [])
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
    for item in _items_of(session, documents, *failed):
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


def owned(session: Session, tenant: str, document_id: str, labels: Labels | None = None) -> DocumentRow:
    """A document of this tenant, locked for the transaction where the database can.

    Raises:
        NotFoundError: there is none, another tenant has it, or the reader does not see it.
    """
    document = session.get(DocumentRow, document_id, with_for_update=True)
    if document is None or document.tenant != tenant or not Principal(labels=labels).sees(document.labels):
        raise NotFoundError(f"There is no document {document_id}.")
    return document


def set_items(session: Session, document_id: str, fingerprint: str, now: datetime, **values: Any) -> None:
    """Moves all open items of one piece of work together."""
    statement = update(JobItemRow).where(
        JobItemRow.document_id == document_id, JobItemRow.fingerprint == fingerprint, JobItemRow.status.in_(OPEN)
    )
    values["updated_at"] = now
    if values.get("status") not in OPEN:
        values["finished_at"] = now
    session.execute(statement.values(**values))


def close(item: JobItemRow, status: ItemStatus, now: datetime) -> None:
    """Ends an item."""
    item.status = status
    item.finished_at = item.updated_at = now


def clean(text: str) -> str:
    """Text that any database stores: no NUL, no lone surrogates (file names may have them)."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")


def clean_metadata(metadata: Metadata) -> dict[str, Any]:
    """Metadata as JSON that any database stores."""

    def scalar(value: Any) -> Any:
        return clean(value) if isinstance(value, str) else value

    return {
        clean(name): [scalar(part) for part in value] if isinstance(value, tuple) else scalar(value)
        for name, value in metadata.items()
    }


def _new_document(tenant: str, item: JobItemRow, now: datetime) -> DocumentRow:
    return DocumentRow(
        id=item.document_id,
        tenant=tenant,
        source=item.source,
        source_sha256=_source_hash(item.source),
        name=item.name,
        status=DocumentStatus.QUEUED,
        content_sha256=item.content_sha256,
        size_bytes=item.size_bytes,
        format=item.format,
        blob_key=item.blob_key,
        metadata_=item.metadata_,
        labels=item.labels,
        passages=0,
        version_uncertain=False,
        attempts=0,
        queued_at=now,
        created_at=now,
        updated_at=now,
    )


def _item(job_id: str, ordinal: int, submission: Submission, now: datetime) -> JobItemRow:
    return JobItemRow(
        job_id=job_id,
        ordinal=ordinal,
        document_id=submission.document_id,
        source=clean(submission.source),
        name=clean(submission.name),
        content_sha256=submission.content_sha256,
        size_bytes=submission.size_bytes,
        format=submission.format,
        blob_key=submission.blob_key,
        metadata_=clean_metadata(submission.metadata),
        labels=submission.labels,
        fingerprint=submission.fingerprint,
        status=ItemStatus.QUEUED,
        attempts=0,
        created_at=now,
        updated_at=now,
    )


def locked(session: Session, ids: Sequence[str]) -> dict[str, DocumentRow]:
    """Documents by id, locked in one order so that two batches never wait for each other in a circle."""
    found: dict[str, DocumentRow] = {}
    for chunk in _chunks(sorted(set(ids))):
        statement = select(DocumentRow).where(DocumentRow.id.in_(chunk)).order_by(DocumentRow.id).with_for_update()
        found.update((row.id, row) for row in session.scalars(statement))
    return found


def _check_sources(session: Session, tenant: str, submissions: Sequence[Submission]) -> None:
    """Refuses a source that the tenant has under another id already, in the ledger or in this batch."""
    ids: dict[str, str] = {}
    for submission in submissions:
        if ids.setdefault(_source_hash(clean(submission.source)), submission.document_id) != submission.document_id:
            raise ConflictError(f"The source {clean(submission.source)!r} was submitted under two document ids.")
    for chunk in _chunks(sorted(ids)):
        statement = select(DocumentRow.source_sha256, DocumentRow.id, DocumentRow.source).where(
            DocumentRow.tenant == tenant, DocumentRow.source_sha256.in_(chunk)
        )
        for digest, document_id, source in session.execute(statement):
            if ids[digest] != document_id:
                raise ConflictError(f"The source {source!r} is document {document_id} already.")


def _open_items(session: Session, documents: Mapping[str, DocumentRow]) -> dict[str, list[JobItemRow]]:
    found: dict[str, list[JobItemRow]] = {}
    for item in _items_of(session, documents, JobItemRow.status.in_(OPEN)):
        found.setdefault(item.document_id, []).append(item)
    return found


def _items_of(
    session: Session, documents: Mapping[str, DocumentRow], *condition: ColumnElement[bool]
) -> Iterator[JobItemRow]:
    for chunk in _chunks(sorted(documents)):
        yield from session.scalars(select(JobItemRow).where(JobItemRow.document_id.in_(chunk), *condition))


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))


def _source_hash(source: str) -> str:
    return sha256(source.encode("utf-8")).hexdigest()
