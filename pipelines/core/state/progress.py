"""How far jobs are: their counts, their items, and what these wait for. Each function runs in one transaction."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Select, and_, func, select, tuple_
from sqlalchemy.orm import Session

from pipelines.core.access import Labels
from pipelines.core.settings import Role
from pipelines.core.state import jobs
from pipelines.core.state.cursors import decode, encode
from pipelines.core.state.fleet import why_waiting
from pipelines.core.state.records import (
    ItemState,
    ItemStatus,
    Job,
    JobItem,
    JobState,
    JobStatus,
    Page,
    QuestionStatus,
)
from pipelines.core.state.source_records import SourceStatus
from pipelines.core.state.tables import BatchQuestionRow, DocumentRow, JobItemRow, JobRow, SourceRow, covered

ANSWERS = "answers"
_ROLES: dict[str, Role] = {ANSWERS: "answers"}


@dataclass(slots=True)
class _Tally:
    """What is known of one job's items."""

    counts: dict[str, int]
    finished_at: datetime | None = None
    retrying: int = 0
    next_try_at: datetime | None = None
    why: str | None = None
    growing: bool = False


def one(
    session: Session,
    tenant: str,
    job_id: str,
    now: datetime,
    *,
    labels: Labels | None = None,
    replayed: bool = False,
) -> Job:
    """A job with its counts."""
    found = _jobs(session, [jobs.owned(session, tenant, job_id, labels)], now)[0]
    return replace(found, replayed=True) if replayed else found


def page(
    session: Session,
    tenant: str,
    now: datetime,
    *,
    kinds: Collection[str] | None,
    labels: Labels | None,
    limit: int,
    cursor: str | None,
) -> Page[Job]:
    """A tenant's jobs, newest first."""
    statement = select(JobRow).where(JobRow.tenant == tenant, covered(JobRow.labels, labels))
    if kinds is not None:
        statement = statement.where(JobRow.kind.in_(kinds))
    if cursor is not None:
        statement = statement.where(tuple_(JobRow.created_at, JobRow.id) < tuple_(*decode(cursor)))
    order = (JobRow.created_at.desc(), JobRow.id.desc())
    rows = session.scalars(statement.order_by(*order).limit(limit + 1)).all()
    more = len(rows) > limit
    last = encode(rows[limit - 1].created_at, rows[limit - 1].id) if more else None
    return Page(tuple(_jobs(session, rows[:limit], now)), last)


def items(
    session: Session,
    tenant: str,
    job_id: str,
    now: datetime,
    *,
    labels: Labels | None,
    status: ItemStatus | None,
    limit: int,
    after: int,
) -> list[JobItem]:
    """Items of a job in the order of submission, from the one after ordinal `after`."""
    jobs.owned(session, tenant, job_id, labels)
    statement = _items().where(JobItemRow.job_id == job_id, JobItemRow.ordinal > after)
    if status is not None:
        statement = statement.where(JobItemRow.status == status)
    return _read(session, statement.order_by(JobItemRow.ordinal).limit(limit), now)


def changed(
    session: Session,
    tenant: str,
    job_id: str,
    now: datetime,
    *,
    labels: Labels | None,
    since: tuple[datetime, int],
    limit: int,
) -> list[JobItem]:
    """Items of a job that changed after one was seen, in the order of their change."""
    jobs.owned(session, tenant, job_id, labels)
    order = (JobItemRow.updated_at, JobItemRow.ordinal)
    statement = _items().where(JobItemRow.job_id == job_id, tuple_(*order) > tuple_(*since))
    return _read(session, statement.order_by(*order).limit(limit), now)


# --- Items ---------------------------------------------------------------------------------------------------------


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
        detail = _retrying(row.error_detail, why if next_try_at <= now else None)
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


def _retrying(error: str | None, why: str | None) -> str:
    """Why the last try failed, and why the next, which is due, does not begin."""
    return " ".join(part for part in (error, why) if part)


# --- Jobs ----------------------------------------------------------------------------------------------------------


def _jobs(session: Session, rows: Sequence[JobRow], now: datetime) -> list[Job]:
    """Jobs with their counts, in a few queries for all of them."""
    tallies = _tallies(session, rows)
    idle: dict[Role, str | None] = {}

    def why(kind: str) -> str | None:
        role = _ROLES.get(kind, "ingest")
        if role not in idle:
            idle[role] = why_waiting(session, now, role)
        return idle[role]

    return [_job(row, tallies[row.id], why(row.kind) if _open(tallies[row.id]) else None, now) for row in rows]


def _tallies(session: Session, rows: Iterable[JobRow]) -> Mapping[str, _Tally]:
    kinds = {row.id: row.kind for row in rows}
    tallies = {
        key: _Tally(dict.fromkeys(QuestionStatus if kind == ANSWERS else ItemStatus, 0)) for key, kind in kinds.items()
    }
    questions = [key for key, kind in kinds.items() if kind == ANSWERS]
    documents = [key for key, kind in kinds.items() if kind != ANSWERS]
    for table, ids in ((BatchQuestionRow, questions), (JobItemRow, documents)):
        if ids:
            _count(session, table, ids, tallies)
    if waiting := [key for key in questions if tallies[key].counts[ItemStatus.QUEUED]]:
        row = BatchQuestionRow
        _retries(session, select(row.job_id, row.not_before, row.error_detail), row, waiting, tallies)
    if waiting := [key for key in documents if tallies[key].counts[ItemStatus.QUEUED]]:
        item = JobItemRow
        work = and_(DocumentRow.id == item.document_id, DocumentRow.pending_version == item.fingerprint)
        found = select(item.job_id, DocumentRow.not_before, item.error_detail).outerjoin(DocumentRow, work)
        _retries(session, found, item, waiting, tallies)
    _mark_growing(session, documents, tallies)
    return tallies


def _count(
    session: Session, table: type[BatchQuestionRow] | type[JobItemRow], ids: Sequence[str], tallies: dict[str, _Tally]
) -> None:
    statement = (
        select(table.job_id, table.status, func.count(), func.max(table.finished_at))
        .where(table.job_id.in_(ids))
        .group_by(table.job_id, table.status)
    )
    for job_id, status, number, finished_at in session.execute(statement):
        tally = tallies[job_id]
        tally.counts[status] = number
        if finished_at is not None:
            tally.finished_at = max(finished_at, tally.finished_at or finished_at)


def _retries(
    session: Session,
    found: Select[str, datetime | None, str | None],
    table: type[BatchQuestionRow] | type[JobItemRow],
    ids: Sequence[str],
    tallies: dict[str, _Tally],
) -> None:
    """Adds how many queued items failed before, and what is known of the next of them."""
    again = (table.job_id.in_(ids), table.status == ItemStatus.QUEUED, table.error_code.is_not(None))
    numbers = select(table.job_id, func.count()).where(*again).group_by(table.job_id)
    for job_id, number in session.execute(numbers):
        tally = tallies[job_id]
        tally.retrying = number
        time = DocumentRow.not_before if table is JobItemRow else BatchQuestionRow.not_before
        first = session.execute(
            found.where(*again, table.job_id == job_id).order_by(time.nulls_first(), table.ordinal).limit(1)
        ).first()
        if first is not None:  # else it was taken since they were counted
            tally.next_try_at, tally.why = first[1], first[2]


def _mark_growing(session: Session, ids: Sequence[str], tallies: dict[str, _Tally]) -> None:
    """A source that is being listed may still bring its job documents."""
    statement = select(SourceRow.job_id).where(
        SourceRow.job_id.in_(ids), SourceRow.status.in_((SourceStatus.QUEUED, SourceStatus.RUNNING))
    )
    for job_id in session.scalars(statement) if ids else ():
        if job_id is not None:
            tallies[job_id].growing = True


def _open(tally: _Tally) -> bool:
    return tally.growing or bool(tally.counts[ItemStatus.QUEUED] or tally.counts[ItemStatus.RUNNING])


def _job(row: JobRow, tally: _Tally, why: str | None, now: datetime) -> Job:
    status = _status(row, tally)
    state, detail, next_try_at = JobState(status), None, None
    queued = tally.counts[ItemStatus.QUEUED]
    if tally.retrying:
        next_try_at = tally.next_try_at or now
    if queued and not tally.counts[ItemStatus.RUNNING] and not tally.growing:
        if queued == tally.retrying and next_try_at is not None:
            state, detail = JobState.RETRYING, _retrying(tally.why, why if next_try_at <= now else None)
        elif why is not None:
            state, detail = JobState.WAITING, why
    return Job(
        id=row.id,
        tenant=row.tenant,
        kind=row.kind,
        status=status,
        state=state,
        detail=detail,
        total=row.total,
        counts=tally.counts,
        retrying=tally.retrying,
        next_try_at=next_try_at,
        labels=row.labels,
        created_at=row.created_at,
        finished_at=None if _open(tally) else tally.finished_at or row.created_at,
    )


def _status(row: JobRow, tally: _Tally) -> JobStatus:
    counts = tally.counts
    if row.total and counts[ItemStatus.QUEUED] == row.total:
        return JobStatus.QUEUED
    if _open(tally):
        return JobStatus.RUNNING
    if row.cancelled_at is not None and (counts[ItemStatus.CANCELLED] or not row.total):
        return JobStatus.CANCELLED
    return JobStatus.FAILED if row.total and counts[ItemStatus.FAILED] == row.total else JobStatus.DONE
