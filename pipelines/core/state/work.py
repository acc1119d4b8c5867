"""What workers do to documents: claim, extend, finish, fail, release, purge. Each runs inside one write transaction.

The lease stands on the document. Whoever holds its token may report; a worker that lost the lease (it stalled, and
another took over) changes nothing any more.
"""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from pipelines.core.errors import StrataError, WorkerLostError
from pipelines.core.state.document_rows import describe, locked, set_items
from pipelines.core.state.owners import is_dead
from pipelines.core.state.records import Deletion, DocumentStatus, ItemStatus, WorkItem
from pipelines.core.state.reindexes import is_retired
from pipelines.core.state.storable import clean
from pipelines.core.state.tables import DocumentRow, JobItemRow
from pipelines.core.state.traces import forget_document

RETRY_DELAY_S = 2.0
"""Wait before the second try; it doubles with each further one."""


def reap(session: Session, now: datetime, max_attempts: int, *, everyone: bool = False) -> int:
    """Ends the leases of workers that are gone: expired, known to be dead, or all with `everyone`."""
    leased = DocumentRow.lease_until.is_not(None)  # by this column, for its index
    owners = session.scalars(select(DocumentRow.lease_owner).where(leased).distinct())
    dead = [owner for owner in owners if owner is not None and is_dead(owner)]
    gone = or_(DocumentRow.lease_until < now, DocumentRow.lease_owner.in_(dead))
    statement = select(DocumentRow).where(leased).with_for_update(skip_locked=True)
    rows = session.scalars(statement if everyone else statement.where(gone)).all()
    for document in rows:
        _unlease(document)  # `version_uncertain` stays: it may have published
        if document.status == DocumentStatus.RUNNING:
            document.queued_at = now  # to the end of the queue: what kills workers does not hold up the others
            _give_back(session, document, WorkerLostError(), now, max_attempts, delay_s=0.0)
    session.flush()
    return len(rows)


def claim(
    session: Session, limit: int, worker: str, until: datetime, now: datetime, *, holding: bool
) -> list[WorkItem]:
    """Takes the documents that wait longest; one whose worker died is taken alone, by a worker that holds nothing.

    A worker that dies takes its whole claim with it, and the ledger cannot know which document was to blame. Alone,
    only that one loses an attempt when it happens again.
    """
    statement = (
        select(DocumentRow)
        .where(
            DocumentRow.status == DocumentStatus.QUEUED,
            DocumentRow.lease_token.is_(None),
            or_(DocumentRow.not_before.is_(None), DocumentRow.not_before <= now),
        )
        .order_by(DocumentRow.queued_at, DocumentRow.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = session.scalars(statement).all()
    suspect = next((place for place, row in enumerate(rows) if row.error_code == WorkerLostError.code), len(rows))
    return [_take(session, row, worker, until, now) for row in rows[: suspect if holding else max(suspect, 1)]]


def next_due(session: Session) -> datetime | None:
    """When the next queued document may be claimed; in the past when one may be claimed now."""
    statement = select(DocumentRow.not_before).where(
        DocumentRow.status == DocumentStatus.QUEUED, DocumentRow.lease_token.is_(None)
    )
    first = session.execute(statement.order_by(DocumentRow.not_before.nulls_first()).limit(1)).first()
    return None if first is None else first[0] or datetime.min.replace(tzinfo=UTC)


def _take(session: Session, document: DocumentRow, worker: str, until: datetime, now: datetime) -> WorkItem:
    item = _newest(session, document)
    document.status = DocumentStatus.RUNNING
    document.attempts += 1
    document.version_uncertain = True
    document.updated_at = now
    token = _lease(document, worker, until)
    values = {"status": ItemStatus.RUNNING, "attempts": document.attempts, "started_at": now}
    set_items(session, document.id, item.fingerprint, now, **values)
    return WorkItem(
        token=token,
        tenant=document.tenant,
        document_id=document.id,
        source=item.source,
        name=item.name,
        content_sha256=item.content_sha256,
        size_bytes=item.size_bytes,
        format=item.format,
        blob_key=item.blob_key,
        fingerprint=item.fingerprint,
        attempt=document.attempts,
        job_id=item.job_id,
        metadata={name: tuple(value) if isinstance(value, list) else value for name, value in item.metadata_.items()},
        labels=item.labels,
        replaces=_keys(document) if document.version is not None else (),
    )


def _newest(session: Session, document: DocumentRow) -> JobItemRow:
    """The submission that a queued document is to be indexed from."""
    statement = (
        select(JobItemRow)
        .where(
            JobItemRow.document_id == document.id,
            JobItemRow.fingerprint == document.pending_version,
            JobItemRow.status == ItemStatus.QUEUED,
        )
        .order_by(JobItemRow.created_at.desc(), JobItemRow.job_id, JobItemRow.ordinal.desc())
        .limit(1)
    )
    return session.scalars(statement).one()


def extend(session: Session, items: Sequence[WorkItem], until: datetime) -> frozenset[str]:
    """Prolongs leases; returns the tokens whose work is still wanted."""
    documents = locked(session, [item.document_id for item in items])
    wanted = set()
    for item in items:
        document = documents.get(item.document_id)
        if document is None or document.lease_token != item.token:
            continue
        document.lease_until = until
        if document.status != DocumentStatus.DELETING and document.pending_version == item.fingerprint:
            wanted.add(item.token)
    return frozenset(wanted)


def finish(
    session: Session,
    item: WorkItem,
    *,
    passages: int,
    title: str,
    text_key: str | None,
    build: str | None,
    now: datetime,
) -> bool:
    """Records that the index now shows the item's version; gives it back where that was a replaced index."""
    if build is not None and is_retired(session, build):  # before the document: a replacement locks in this order
        release(session, item, now)
        return False
    document = _held(session, item.document_id, item.token)
    if document is None:
        return False
    _unlease(document)
    if document.status == DocumentStatus.DELETING:
        return False
    document.version = item.fingerprint
    document.version_uncertain = False
    document.passages, document.title, document.text_key = passages, clean(title), text_key
    document.name, document.format, document.blob_key = item.name, item.format, item.blob_key
    document.content_sha256, document.size_bytes = item.content_sha256, item.size_bytes
    document.metadata_ = {
        key: list(value) if isinstance(value, tuple) else value for key, value in item.metadata.items()
    }
    document.labels = item.labels
    document.indexed_at = document.updated_at = now
    set_items(
        session, document.id, item.fingerprint, now, status=ItemStatus.INDEXED, error_code=None, error_detail=None
    )
    if document.pending_version in (None, item.fingerprint):
        document.pending_version = None
        document.status = DocumentStatus.INDEXED
        document.error_code = document.error_detail = None
    return True


def fail(session: Session, item: WorkItem, error: StrataError, now: datetime, max_attempts: int) -> bool:
    """Records a failed try; returns whether there will be another."""
    document = _held(session, item.document_id, item.token)
    if document is None:
        return False
    _unlease(document)
    if document.status != DocumentStatus.RUNNING:
        return False  # cancelled, superseded or being deleted: nobody waits for this try
    return _give_back(session, document, error, now, max_attempts, delay_s=RETRY_DELAY_S * 2 ** (item.attempt - 1))


def release(session: Session, item: WorkItem, now: datetime) -> None:
    """Gives an item back untouched: the try does not count."""
    document = _held(session, item.document_id, item.token)
    if document is None:
        return
    _unlease(document)
    if document.status == DocumentStatus.RUNNING:
        document.status = DocumentStatus.QUEUED
        document.attempts -= 1
        document.updated_at = now
        set_items(session, document.id, item.fingerprint, now, status=ItemStatus.QUEUED, attempts=document.attempts)


def claim_deletions(session: Session, limit: int, worker: str, until: datetime) -> list[Deletion]:
    """Takes documents that are to be deleted and that no worker holds any more."""
    statement = (
        select(DocumentRow)
        .where(DocumentRow.status == DocumentStatus.DELETING, DocumentRow.lease_token.is_(None))
        .order_by(DocumentRow.updated_at, DocumentRow.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [
        Deletion(token=_lease(row, worker, until), tenant=row.tenant, document_id=row.id, keys=_keys(row))
        for row in session.scalars(statement).all()
    ]


def release_deletion(session: Session, deletion: Deletion) -> None:
    """Gives a deletion back."""
    document = _held(session, deletion.document_id, deletion.token)
    if document is not None:
        _unlease(document)


def purge(session: Session, deletion: Deletion, build: str | None, now: datetime) -> bool:
    """Forgets a document whose passages are gone from the index; queues it anew when it was submitted meanwhile.

    Where that was a replaced index, the document is left for somebody else to delete.
    """
    retired = build is not None and is_retired(session, build)
    document = _held(session, deletion.document_id, deletion.token)
    if document is None:
        return False
    if retired:
        _unlease(document)
        return False
    forget_document(session, document.id)
    if document.pending_version is None:
        session.delete(document)
        return True
    _unlease(document)
    document.status = DocumentStatus.QUEUED
    document.version = document.text_key = document.title = document.indexed_at = None
    document.version_uncertain = False
    document.passages = 0
    document.updated_at = now
    describe(document, _newest(session, document))
    return True


def _give_back(
    session: Session, document: DocumentRow, error: StrataError, now: datetime, max_attempts: int, *, delay_s: float
) -> bool:
    again = error.retryable and document.attempts < max_attempts
    assert document.pending_version is not None
    document.status = DocumentStatus.QUEUED if again else DocumentStatus.FAILED
    document.not_before = now + timedelta(seconds=delay_s) if again and delay_s else None
    document.error_code, document.error_detail = error.code, clean(error.detail)
    document.updated_at = now
    set_items(
        session,
        document.id,
        document.pending_version,
        now,
        status=ItemStatus.QUEUED if again else ItemStatus.FAILED,
        error_code=document.error_code,
        error_detail=document.error_detail,
    )
    return again


def _held(session: Session, document_id: str, token: str) -> DocumentRow | None:
    document = session.get(DocumentRow, document_id, with_for_update=True)
    return document if document is not None and document.lease_token == token else None


def _lease(document: DocumentRow, worker: str, until: datetime) -> str:
    document.lease_token, document.lease_owner, document.lease_until = uuid.uuid4().hex, worker, until
    return document.lease_token


def _unlease(document: DocumentRow) -> None:
    document.lease_token = document.lease_owner = document.lease_until = None


def _keys(document: DocumentRow) -> tuple[str, ...]:
    return tuple(key for key in (document.blob_key, document.text_key) if key)
