"""How far jobs are, from counts of their items and from what these wait for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, and_, func, select
from sqlalchemy.orm import Session

from pipelines.core.roles import Role
from pipelines.core.state.fleet import why_waiting
from pipelines.core.state.jobs import ANSWERS
from pipelines.core.state.records import ItemStatus, Job, JobState, JobStatus, QuestionStatus
from pipelines.core.state.source_records import SourceStatus
from pipelines.core.state.tables import BatchQuestionRow, DocumentRow, JobItemRow, JobRow, SourceRow

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


def tell(session: Session, rows: Sequence[JobRow], now: datetime) -> list[Job]:
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
            state, detail = JobState.RETRYING, retrying(tally.why, why if next_try_at <= now else None)
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


def retrying(error: str | None, why: str | None) -> str:
    """Why the last try failed, and why the next, which is due, does not begin."""
    return " ".join(part for part in (error, why) if part)
