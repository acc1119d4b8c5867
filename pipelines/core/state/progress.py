"""What jobs and their items tell whoever waits for them."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Select, and_, select, tuple_
from sqlalchemy.orm import Session

from pipelines.core.access import Labels
from pipelines.core.state import jobs, tallies
from pipelines.core.state.clock import Clock, utc_now
from pipelines.core.state.columns import covered
from pipelines.core.state.cursors import decode, encode
from pipelines.core.state.database import Database
from pipelines.core.state.fleet import why_waiting
from pipelines.core.state.records import ItemState, ItemStatus, Job, JobItem, Page
from pipelines.core.state.tables import DocumentRow, JobItemRow, JobRow


class Progress:
    """How far jobs are, of every kind. Safe to share between threads and processes.

    Every method may raise `StateUnavailableError`. Methods that take `labels` show the reader, who holds these, only
    jobs that were made with labels that the reader holds, and find no other; `None` shows all of the tenant.
    """

    def __init__(self, database: Database, clock: Clock = utc_now) -> None:
        self._database, self._clock = database, clock

    def job(self, job_id: str, tenant: str, *, labels: Labels | None = None) -> Job:
        """One job with its counts.

        Raises:
            NotFoundError: the tenant has no such job.
        """
        with self._database.read() as session:
            return tallies.tell(session, [jobs.owned(session, tenant, job_id, labels)], self._clock())[0]

    def jobs(
        self,
        tenant: str,
        *,
        kinds: Collection[str] | None = None,
        labels: Labels | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Job]:
        """A tenant's jobs, newest first; pass `next_cursor` for the next page.

        Raises:
            InvalidRequestError: the cursor is not one of ours.
        """
        statement = select(JobRow).where(JobRow.tenant == tenant, covered(JobRow.labels, labels))
        if kinds is not None:
            statement = statement.where(JobRow.kind.in_(kinds))
        if cursor is not None:
            statement = statement.where(tuple_(JobRow.created_at, JobRow.id) < tuple_(*decode(cursor)))
        statement = statement.order_by(JobRow.created_at.desc(), JobRow.id.desc()).limit(limit + 1)
        with self._database.read() as session:
            rows = session.scalars(statement).all()
            more = len(rows) > limit
            last = encode(rows[limit - 1].created_at, rows[limit - 1].id) if more else None
            return Page(tuple(tallies.tell(session, rows[:limit], self._clock())), last)

    def items(
        self,
        job_id: str,
        tenant: str,
        *,
        labels: Labels | None = None,
        status: ItemStatus | None = None,
        limit: int = 1000,
        after: int = -1,
    ) -> list[JobItem]:
        """Items of a job in the order of submission; pass the last `ordinal` as `after` for the next ones.

        Raises:
            NotFoundError: the tenant has no such job.
        """
        statement = _items().where(JobItemRow.job_id == job_id, JobItemRow.ordinal > after)
        if status is not None:
            statement = statement.where(JobItemRow.status == status)
        with self._database.read() as session:
            jobs.owned(session, tenant, job_id, labels)
            return _read(session, statement.order_by(JobItemRow.ordinal).limit(limit), self._clock())

    def changed(
        self, job_id: str, tenant: str, *, since: tuple[datetime, int], limit: int = 500, labels: Labels | None = None
    ) -> list[JobItem]:
        """Items of a job that changed after `since`, an `(updated_at, ordinal)`, in the order of their change.

        A change may appear behind a later one for as long as its transaction takes: look back a few seconds.

        Raises:
            NotFoundError: the tenant has no such job.
        """
        order = (JobItemRow.updated_at, JobItemRow.ordinal)
        statement = _items().where(JobItemRow.job_id == job_id, tuple_(*order) > tuple_(*since))
        with self._database.read() as session:
            jobs.owned(session, tenant, job_id, labels)
            return _read(session, statement.order_by(*order).limit(limit), self._clock())


def _items() -> Select[JobItemRow, datetime | None]:
    """Items, each with the time before which its work is not taken."""
    work = and_(
        DocumentRow.id == JobItemRow.document_id,
        DocumentRow.pending_version == JobItemRow.fingerprint,
        JobItemRow.status == ItemStatus.QUEUED,
    )
    return select(JobItemRow, DocumentRow.not_before).outerjoin(DocumentRow, work)


def _read(session: Session, statement: Select[JobItemRow, datetime | None], now: datetime) -> list[JobItem]:
    rows = session.execute(statement).all()
    queued = any(row.status == ItemStatus.QUEUED for row, _ in rows)
    why = why_waiting(session, now, "ingest") if queued else None
    return [_item(row, not_before, why, now) for row, not_before in rows]


def _item(row: JobItemRow, not_before: datetime | None, why: str | None, now: datetime) -> JobItem:
    state, detail, next_try_at = ItemState(row.status), None, None
    if row.status == ItemStatus.QUEUED and row.error_code is not None:
        state, next_try_at = ItemState.RETRYING, not_before or row.updated_at
        detail = tallies.retrying(row.error_detail, why if next_try_at <= now else None)
    elif row.status == ItemStatus.QUEUED and why is not None:
        state, detail = ItemState.WAITING, why
    return JobItem(
        job_id=row.job_id,
        ordinal=row.ordinal,
        document_id=row.document_id,
        source=row.source,
        name=row.name,
        status=ItemStatus(row.status),
        state=state,
        detail=detail,
        next_try_at=next_try_at,
        content_sha256=row.content_sha256,
        size_bytes=row.size_bytes,
        fingerprint=row.fingerprint,
        attempts=row.attempts,
        error_code=row.error_code,
        error_detail=row.error_detail,
        updated_at=row.updated_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
