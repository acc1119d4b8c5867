"""Jobs as rows: made once for each submission, appended to, found by whoever may see them."""

import hashlib
import json
import uuid
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipelines.core.access import Labels, Principal
from pipelines.core.errors import ConflictError, InvalidRequestError, NotFoundError, RepeatedKeyError
from pipelines.core.state.records import Once
from pipelines.core.state.tables import JobRow

ANSWERS = "answers"
"""The kind of a batch of questions; every other job is of documents."""

MAX_TENANT = 128


def digest(parts: Iterable[object]) -> str:
    """SHA-256 of a submission, from everything that makes it another one; each part is plain JSON."""
    found = hashlib.sha256()
    for part in parts:
        found.update(json.dumps(part, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    return found.hexdigest()


def find(session: Session, tenant: str, once: Once | None, labels: Labels | None = None) -> JobRow | None:
    """The job that an earlier submission with this key made.

    Args:
        labels: Of whoever submits; `None`: every one.

    Raises:
        RepeatedKeyError: the key belongs to another request, or to one with other labels.
    """
    if once is None:
        return None
    statement = select(JobRow).where(JobRow.tenant == tenant, JobRow.idempotency_key == once.key)
    row = session.scalars(statement).one_or_none()
    if row is not None and (row.request_sha256 != once.request_sha256 or row.labels != labels):
        raise RepeatedKeyError("This Idempotency-Key was used for another request; take a new key for each request.")
    return row


def new(
    session: Session, tenant: str, kind: str, now: datetime, *, labels: Labels | None = None, once: Once | None = None
) -> JobRow:
    """Makes a job that has no items yet.

    Raises:
        IntegrityError: at once, where another transaction has just used the key.
    """
    if not tenant or len(tenant) > MAX_TENANT:
        raise InvalidRequestError(f"A tenant has 1 to {MAX_TENANT} characters.")
    row = JobRow(id=uuid.uuid4().hex, tenant=tenant, kind=kind, total=0, labels=labels, created_at=now)
    if once is not None:
        row.idempotency_key, row.request_sha256 = once.key, once.request_sha256
    session.add(row)
    session.flush()
    return row


def locked(session: Session, tenant: str, job_id: str, labels: Labels | None = None) -> JobRow:
    """A job, locked for the transaction where the database can: appending, cancelling and deleting take turns.

    Args:
        labels: Of the reader; `None`: every one.

    Raises:
        NotFoundError: the tenant has no such job, or the reader does not see it.
    """
    return _checked(session.get(JobRow, job_id, with_for_update=True), tenant, job_id, labels)


def owned(session: Session, tenant: str, job_id: str, labels: Labels | None = None) -> JobRow:
    """A job, to read. As `locked`."""
    return _checked(session.get(JobRow, job_id), tenant, job_id, labels)


def open_to(session: Session, tenant: str, job_id: str) -> JobRow:
    """A job, locked, that takes more items.

    Raises:
        NotFoundError: the tenant has no such job.
        ConflictError: it was cancelled.
    """
    row = locked(session, tenant, job_id)
    if row.cancelled_at is not None:
        raise ConflictError(f"The job {job_id} was cancelled.")
    return row


def unknown(job_id: str) -> NotFoundError:
    """The error for a job that the reader may not know of."""
    return NotFoundError(f"There is no job {job_id}.")


def _checked(row: JobRow | None, tenant: str, job_id: str, labels: Labels | None) -> JobRow:
    if row is None or row.tenant != tenant or not Principal(labels=labels).covers(row.labels):
        raise unknown(job_id)
    return row
