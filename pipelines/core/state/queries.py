"""What anybody may ask of the ledger. Each function runs inside one reading transaction."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from pipelines.core.access import Labels, Principal
from pipelines.core.errors import NotFoundError
from pipelines.core.state.columns import visible
from pipelines.core.state.cursors import decode, encode
from pipelines.core.state.document_rows import OPEN, chunks
from pipelines.core.state.learning_tables import HeadRow
from pipelines.core.state.records import (
    Counts,
    Document,
    DocumentStatus,
    ItemStatus,
    Page,
)
from pipelines.core.state.tables import DocumentRow, JobItemRow, ReindexedRow

RETRYABLE_ITEMS = (*OPEN, ItemStatus.FAILED)
"""Items whose blob may still be read."""


def documents(
    session: Session,
    tenant: str,
    labels: Labels | None,
    *,
    status: DocumentStatus | None,
    limit: int,
    cursor: str | None,
) -> Page[Document]:
    """A tenant's documents, oldest first."""
    statement = select(DocumentRow).where(DocumentRow.tenant == tenant, visible(DocumentRow.labels, labels))
    if status is not None:
        statement = statement.where(DocumentRow.status == status)
    if cursor is not None:
        statement = statement.where(tuple_(DocumentRow.created_at, DocumentRow.id) > tuple_(*decode(cursor)))
    rows = session.scalars(statement.order_by(DocumentRow.created_at, DocumentRow.id).limit(limit + 1)).all()
    more = len(rows) > limit
    last = encode(rows[limit - 1].created_at, rows[limit - 1].id) if more else None
    return Page(tuple(document(row) for row in rows[:limit]), last)


def one_document(session: Session, tenant: str, document_id: str, labels: Labels | None) -> Document:
    """One document of a tenant."""
    row = session.get(DocumentRow, document_id)
    if row is None or row.tenant != tenant or not Principal(labels=labels).sees(row.labels):
        raise NotFoundError(f"There is no document {document_id}.")
    return document(row)


def document(row: DocumentRow) -> Document:
    """A document as it goes out."""
    return Document(
        id=row.id,
        tenant=row.tenant,
        source=row.source,
        name=row.name,
        status=DocumentStatus(row.status),
        content_sha256=row.content_sha256,
        size_bytes=row.size_bytes,
        format=row.format,
        blob_key=row.blob_key,
        text_key=row.text_key,
        title=row.title,
        passages=row.passages,
        version=row.version,
        pending_version=row.pending_version,
        attempts=row.attempts,
        error_code=row.error_code,
        error_detail=row.error_detail,
        metadata={name: tuple(value) if isinstance(value, list) else value for name, value in row.metadata_.items()},
        labels=row.labels,
        created_at=row.created_at,
        updated_at=row.updated_at,
        indexed_at=row.indexed_at,
    )


def counts(session: Session, tenant: str | None, now: datetime) -> Counts:
    """Documents by status."""
    grouped = select(DocumentRow.status, func.count()).group_by(DocumentRow.status)
    oldest = select(func.min(DocumentRow.queued_at)).where(DocumentRow.status == DocumentStatus.QUEUED)
    if tenant is not None:
        grouped = grouped.where(DocumentRow.tenant == tenant)
        oldest = oldest.where(DocumentRow.tenant == tenant)
    since = session.scalar(oldest)
    return Counts(
        documents=dict.fromkeys(DocumentStatus, 0)
        | {DocumentStatus(status): count for status, count in session.execute(grouped)},
        oldest_queued_s=None if since is None else max(0.0, (now - since).total_seconds()),
    )


def queued(session: Session) -> int:
    """Documents that wait, of all tenants."""
    statement = select(func.count()).select_from(DocumentRow).where(DocumentRow.status == DocumentStatus.QUEUED)
    return session.scalar(statement) or 0


def unreferenced(session: Session, keys: Sequence[str]) -> list[str]:
    """Those of the keys that no document, shadow, outstanding or retryable submission, and no head needs."""
    used: set[str] = set()
    for chunk in chunks(keys):
        used.update(session.scalars(select(DocumentRow.blob_key).where(DocumentRow.blob_key.in_(chunk))))
        used.update(
            key for key in session.scalars(select(DocumentRow.text_key).where(DocumentRow.text_key.in_(chunk))) if key
        )
        used.update(
            key for key in session.scalars(select(ReindexedRow.text_key).where(ReindexedRow.text_key.in_(chunk))) if key
        )
        waiting = select(JobItemRow.blob_key).where(
            JobItemRow.blob_key.in_(chunk), JobItemRow.status.in_(RETRYABLE_ITEMS)
        )
        used.update(session.scalars(waiting))
        used.update(session.scalars(select(HeadRow.blob_key).where(HeadRow.blob_key.in_(chunk))))
    return [key for key in dict.fromkeys(keys) if key not in used]
