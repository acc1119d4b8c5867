"""Documents and items of jobs as rows: made, locked, described, moved and ended, each inside a write transaction."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from pipelines.core.access import Labels, Principal
from pipelines.core.errors import NotFoundError
from pipelines.core.state.records import DocumentStatus, ItemStatus, Submission
from pipelines.core.state.storable import clean, clean_metadata
from pipelines.core.state.tables import DocumentRow, JobItemRow

OPEN = (ItemStatus.QUEUED, ItemStatus.RUNNING)
CHUNK = 400  # SQLite and PostgreSQL bound the parameters of one statement


def new_document(tenant: str, item: JobItemRow, now: datetime) -> DocumentRow:
    """The row of a document that was never seen before, from its first submission."""
    return DocumentRow(
        id=item.document_id,
        tenant=tenant,
        source=item.source,
        source_sha256=source_hash(item.source),
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


def new_item(job_id: str, ordinal: int, submission: Submission, now: datetime) -> JobItemRow:
    """The row of one submission; its texts can be stored."""
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


def describe(document: DocumentRow, item: JobItemRow) -> None:
    """Makes a document that was never indexed look like its newest submission; none but its readers may know of it."""
    document.name, document.format, document.blob_key = item.name, item.format, item.blob_key
    document.content_sha256, document.size_bytes = item.content_sha256, item.size_bytes
    document.metadata_, document.labels = item.metadata_, item.labels


def owned(session: Session, tenant: str, document_id: str, labels: Labels | None = None) -> DocumentRow:
    """A document of this tenant, locked for the transaction where the database can.

    Raises:
        NotFoundError: there is none, another tenant has it, or the reader does not see it.
    """
    document = session.get(DocumentRow, document_id, with_for_update=True)
    if document is None or document.tenant != tenant or not Principal(labels=labels).sees(document.labels):
        raise NotFoundError(f"There is no document {document_id}.")
    return document


def locked(session: Session, ids: Sequence[str]) -> dict[str, DocumentRow]:
    """Documents by id, locked in one order so that two batches never wait for each other in a circle."""
    found: dict[str, DocumentRow] = {}
    for chunk in chunks(sorted(set(ids))):
        statement = select(DocumentRow).where(DocumentRow.id.in_(chunk)).order_by(DocumentRow.id).with_for_update()
        found.update((row.id, row) for row in session.scalars(statement))
    return found


def open_items(session: Session, documents: Mapping[str, DocumentRow]) -> dict[str, list[JobItemRow]]:
    """What is outstanding of each document."""
    found: dict[str, list[JobItemRow]] = {}
    for item in items_of(session, documents, JobItemRow.status.in_(OPEN)):
        found.setdefault(item.document_id, []).append(item)
    return found


def items_of(
    session: Session, documents: Mapping[str, DocumentRow], *condition: ColumnElement[bool]
) -> Iterator[JobItemRow]:
    """Items of these documents that meet the conditions, in no order."""
    for chunk in chunks(sorted(documents)):
        yield from session.scalars(select(JobItemRow).where(JobItemRow.document_id.in_(chunk), *condition))


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


def chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Parts of a list that a statement can take as parameters."""
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))


def source_hash(source: str) -> str:
    """What a source is looked up by."""
    return sha256(source.encode("utf-8")).hexdigest()
