"""Rows of sources: how they begin, are handed out and end. Each function runs inside one transaction."""

import uuid
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy.orm import Session

from pipelines.core.access import Labels, Principal
from pipelines.core.errors import ConflictError, ForbiddenError, NotFoundError
from pipelines.core.state import jobs
from pipelines.core.state.records import Metadata
from pipelines.core.state.source_records import Source, SourceStatus, SyncEndedError, SyncItem
from pipelines.core.state.tables import SourceRow

SYNC = "sync"
"""Kind of the jobs that syncs make."""

BUSY = (SourceStatus.QUEUED, SourceStatus.RUNNING)


def new(session: Session, tenant: str, url: str, now: datetime) -> SourceRow:
    """A source that was never looked at."""
    row = SourceRow(
        id=uuid.uuid4().hex,
        tenant=tenant,
        url=url,
        url_sha256=digest(url),
        labels=(),
        metadata_={},
        keep_deleted=False,
        generation=0,
        status=SourceStatus.SYNCED,
        attempts=0,
        listed=0,
        added=0,
        changed=0,
        deleted=0,
        queued_at=now,
        created_at=now,
    )
    session.add(row)
    session.flush()
    return row


def queue(session: Session, row: SourceRow, labels: Labels | None, now: datetime, hold_s: float) -> None:
    """Begins a sync, with a job of its own; one that is queued or running is joined.

    Raises:
        ConflictError: the source is being deleted.
    """
    if row.status == SourceStatus.DELETING:
        raise ConflictError("The source is being deleted.")
    if hold_s and row.lease_token is None:
        row.not_before = now + timedelta(seconds=hold_s)
    if row.status in BUSY:
        return
    row.job_id = jobs.new(session, row.tenant, SYNC, now, labels=labels).id
    row.status, row.queued_at, row.attempts = SourceStatus.QUEUED, now, 0
    row.not_before = now + timedelta(seconds=hold_s) if hold_s else None
    row.listed = row.added = row.changed = row.deleted = 0
    row.error_code = row.error_detail = None


def take(row: SourceRow, worker: str, until: datetime) -> SyncItem:
    """Hands a source out."""
    deleting = row.status == SourceStatus.DELETING
    if not deleting:
        row.status = SourceStatus.RUNNING
    row.attempts += 1
    row.generation += 1
    row.listed = 0
    row.lease_token, row.lease_owner, row.lease_until = uuid.uuid4().hex, worker, until
    return SyncItem(
        token=row.lease_token,
        source_id=row.id,
        tenant=row.tenant,
        url=row.url,
        labels=row.labels,
        metadata=_metadata(row),
        keep_deleted=row.keep_deleted,
        generation=row.generation,
        attempt=row.attempts,
        deleting=deleting,
    )


def end(row: SourceRow, status: SourceStatus, code: str | None, detail: str | None) -> None:
    """Ends a sync."""
    row.status, row.error_code, row.error_detail, row.not_before = status, code, detail, None


def unlease(row: SourceRow) -> None:
    """Ends the lease."""
    row.lease_token = row.lease_owner = row.lease_until = None


def held(session: Session, item: SyncItem) -> SourceRow | None:
    """The source, locked, while the lease is the worker's."""
    row = session.get(SourceRow, item.source_id, with_for_update=True)
    return row if row is not None and row.lease_token == item.token else None


def leased(session: Session, item: SyncItem) -> SourceRow:
    """The source, locked.

    Raises:
        SyncEndedError: the lease was lost.
    """
    row = held(session, item)
    if row is None:
        raise SyncEndedError("The source was deleted, or another worker has taken it.")
    return row


def seen_by(session: Session, source_id: str, tenant: str, labels: Labels | None) -> SourceRow:
    """A source that the reader sees, locked.

    Raises:
        NotFoundError: there is none.
    """
    row = session.get(SourceRow, source_id, with_for_update=True)
    if row is None or row.tenant != tenant or not Principal(labels=labels).sees(row.labels):
        raise NotFoundError(f"There is no source {source_id}.")
    return row


def owned(session: Session, source_id: str, tenant: str, labels: Labels | None) -> SourceRow:
    """A source that the reader may change, locked.

    Raises:
        NotFoundError: the reader sees none.
        ForbiddenError: it belongs to others as well.
    """
    row = seen_by(session, source_id, tenant, labels)
    if not Principal(labels=labels).owns(row.labels):
        raise ForbiddenError("This source belongs to readers with other access labels as well.")
    return row


def record(row: SourceRow) -> Source:
    """A source as it goes out."""
    return Source(
        id=row.id,
        tenant=row.tenant,
        url=row.url,
        labels=row.labels,
        metadata=_metadata(row),
        keep_deleted=row.keep_deleted,
        status=SourceStatus(row.status),
        job_id=row.job_id,
        attempts=row.attempts,
        listed=row.listed,
        added=row.added,
        changed=row.changed,
        deleted=row.deleted,
        error_code=row.error_code,
        error_detail=row.error_detail,
        next_try_at=row.not_before,
        created_at=row.created_at,
        synced_at=row.synced_at,
    )


def _metadata(row: SourceRow) -> Metadata:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.metadata_.items()}


def digest(url: str) -> str:
    """What a source is found by: an address may be longer than an index takes."""
    return sha256(url.encode("utf-8", "surrogatepass")).hexdigest()
