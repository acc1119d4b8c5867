"""What anybody may ask of the ledger. Each function runs inside one reading transaction."""

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from pipelines.core.errors import InvalidRequestError, NotFoundError
from pipelines.core.state.records import (
    AnswerRecord,
    Counts,
    Document,
    DocumentStatus,
    ItemStatus,
    Job,
    JobItem,
    JobStatus,
    Page,
)
from pipelines.core.state.submit import CHUNK, OPEN
from pipelines.core.state.tables import AnswerRow, DocumentRow, JobItemRow, JobRow
from pipelines.core.types import Receipt

RETRYABLE_ITEMS = (*OPEN, ItemStatus.FAILED)
"""Items whose blob may still be read."""


def documents(
    session: Session, tenant: str, *, status: DocumentStatus | None, limit: int, cursor: str | None
) -> Page[Document]:
    """A tenant's documents, oldest first."""
    statement = select(DocumentRow).where(DocumentRow.tenant == tenant)
    if status is not None:
        statement = statement.where(DocumentRow.status == status)
    if cursor is not None:
        statement = statement.where(tuple_(DocumentRow.created_at, DocumentRow.id) > tuple_(*_decode(cursor)))
    rows = session.scalars(statement.order_by(DocumentRow.created_at, DocumentRow.id).limit(limit + 1)).all()
    more = len(rows) > limit
    return Page(tuple(document(row) for row in rows[:limit]), _encode(rows[limit - 1]) if more else None)


def one_document(session: Session, tenant: str, document_id: str) -> Document:
    """One document of a tenant."""
    row = session.get(DocumentRow, document_id)
    if row is None or row.tenant != tenant:
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
        created_at=row.created_at,
        updated_at=row.updated_at,
        indexed_at=row.indexed_at,
    )


def job(session: Session, tenant: str, job_id: str) -> Job:
    """A job with its counts."""
    row = session.get(JobRow, job_id)
    if row is None or row.tenant != tenant:
        raise NotFoundError(f"There is no job {job_id}.")
    grouped = session.execute(
        select(JobItemRow.status, func.count(), func.max(JobItemRow.finished_at))
        .where(JobItemRow.job_id == job_id)
        .group_by(JobItemRow.status)
    ).all()
    counts = dict.fromkeys(ItemStatus, 0) | {ItemStatus(status): count for status, count, _ in grouped}
    is_open = any(counts[status] for status in OPEN)
    return Job(
        id=row.id,
        tenant=row.tenant,
        kind=row.kind,
        status=_job_status(counts, row),
        total=row.total,
        counts=counts,
        created_at=row.created_at,
        finished_at=None if is_open else max((at for *_, at in grouped if at is not None), default=row.created_at),
    )


def _job_status(counts: dict[ItemStatus, int], row: JobRow) -> JobStatus:
    if counts[ItemStatus.QUEUED] == row.total:
        return JobStatus.QUEUED
    if any(counts[status] for status in OPEN):
        return JobStatus.RUNNING
    if row.cancelled_at is not None and counts[ItemStatus.CANCELLED]:
        return JobStatus.CANCELLED
    return JobStatus.FAILED if counts[ItemStatus.FAILED] == row.total else JobStatus.DONE


def job_items(
    session: Session, tenant: str, job_id: str, *, status: ItemStatus | None, limit: int, after: int
) -> list[JobItem]:
    """Items of a job in the order of submission, from the one after ordinal `after`."""
    row = session.get(JobRow, job_id)
    if row is None or row.tenant != tenant:
        raise NotFoundError(f"There is no job {job_id}.")
    statement = select(JobItemRow).where(JobItemRow.job_id == job_id, JobItemRow.ordinal > after)
    if status is not None:
        statement = statement.where(JobItemRow.status == status)
    rows = session.scalars(statement.order_by(JobItemRow.ordinal).limit(limit))
    return [
        JobItem(
            job_id=item.job_id,
            ordinal=item.ordinal,
            document_id=item.document_id,
            source=item.source,
            name=item.name,
            status=ItemStatus(item.status),
            content_sha256=item.content_sha256,
            size_bytes=item.size_bytes,
            fingerprint=item.fingerprint,
            attempts=item.attempts,
            error_code=item.error_code,
            error_detail=item.error_detail,
            started_at=item.started_at,
            finished_at=item.finished_at,
        )
        for item in rows
    ]


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


def unreferenced(session: Session, keys: Sequence[str]) -> list[str]:
    """Those of the keys that no document uses and no outstanding or retryable submission needs."""
    used: set[str] = set()
    for start in range(0, len(keys), CHUNK):
        chunk = keys[start : start + CHUNK]
        used.update(session.scalars(select(DocumentRow.blob_key).where(DocumentRow.blob_key.in_(chunk))))
        used.update(
            key for key in session.scalars(select(DocumentRow.text_key).where(DocumentRow.text_key.in_(chunk))) if key
        )
        waiting = select(JobItemRow.blob_key).where(
            JobItemRow.blob_key.in_(chunk), JobItemRow.status.in_(RETRYABLE_ITEMS)
        )
        used.update(session.scalars(waiting))
    return [key for key in dict.fromkeys(keys) if key not in used]


def answer(session: Session, tenant: str, answer_id: str) -> AnswerRecord:
    """The receipt of an answer."""
    row = session.get(AnswerRow, answer_id)
    if row is None or row.tenant != tenant:
        raise NotFoundError(f"There is no answer {answer_id}.")
    return AnswerRecord(
        answer_id=row.answer_id,
        tenant=row.tenant,
        created_at=row.created_at,
        status=row.status,
        total_ms=row.total_ms,
        cost_usd=row.cost_usd,
        tokens_in=row.tokens_in,
        tokens_out=row.tokens_out,
        config_version=row.config_version,
        receipt=Receipt.model_validate(row.receipt),
    )


def _encode(row: DocumentRow) -> str:
    return base64.urlsafe_b64encode(json.dumps([row.created_at.isoformat(), row.id]).encode()).decode("ascii")


def _decode(cursor: str) -> tuple[datetime, str]:
    try:
        created, document_id = json.loads(base64.urlsafe_b64decode(cursor))
        return datetime.fromisoformat(created).astimezone(UTC), str(document_id)
    except (ValueError, TypeError, OverflowError, binascii.Error) as error:
        raise InvalidRequestError("The cursor is not one that this service gave out.") from error
