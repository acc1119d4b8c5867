"""What workers do to the questions of batches. Each function runs inside one write transaction.

The lease stands on the question; whoever holds its token may report, as with documents (see `work`).
"""

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError
from sqlalchemy import or_, select, tuple_
from sqlalchemy.orm import Session

from pipelines.core.errors import InvalidRequestError, QuestionLostError, StrataError
from pipelines.core.state.batch_records import QuestionItem
from pipelines.core.state.owners import is_dead
from pipelines.core.state.records import QuestionStatus
from pipelines.core.state.storable import clean
from pipelines.core.state.tables import BatchQuestionRow, JobRow
from pipelines.core.types import Question

RETRY_DELAY_S = 10.0
"""Wait before the second try, for a provider to recover; it triples with each further one."""


def reap(session: Session, now: datetime, max_attempts: int, *, everyone: bool = False) -> int:
    """Ends the leases of workers that are gone: expired, known to be dead, or all with `everyone`."""
    row = BatchQuestionRow
    leased = row.lease_until.is_not(None)
    dead = [owner for owner in session.scalars(select(row.lease_owner).where(leased).distinct()) if _dead(owner)]
    gone = or_(row.lease_until < now, row.lease_owner.in_(dead))
    statement = select(row).where(leased).with_for_update(skip_locked=True)
    rows = session.scalars(statement if everyone else statement.where(gone)).all()
    for question in rows:
        _unlease(question)
        question.queued_at = now  # to the end of the queue: what kills workers does not hold up the others
        _give_back(question, QuestionLostError(), now, max_attempts, delay_s=0.0)
    session.flush()
    return len(rows)


def claim(
    session: Session, limit: int, worker: str, until: datetime, now: datetime, *, holding: int
) -> list[QuestionItem]:
    """Takes the questions that wait longest; one whose worker died only by a worker that holds nothing, and alone."""
    statement = (
        select(BatchQuestionRow, JobRow.tenant)
        .join(JobRow, JobRow.id == BatchQuestionRow.job_id)
        .where(
            BatchQuestionRow.status == QuestionStatus.QUEUED,
            or_(BatchQuestionRow.not_before.is_(None), BatchQuestionRow.not_before <= now),
        )
        .order_by(BatchQuestionRow.queued_at)
        .limit(limit)
        .with_for_update(skip_locked=True, of=BatchQuestionRow)
    )
    taken: list[QuestionItem] = []
    for row, tenant in session.execute(statement).all():
        try:
            question = Question.model_validate(row.question)
        except ValidationError:  # of another Strata, before an update or a rollback; it must not stop the others
            unknown = InvalidRequestError("This version of Strata does not understand the question; ask it again.")
            _give_back(row, unknown, now, 0, delay_s=0.0)
            continue
        alone = row.error_code == QuestionLostError.code
        if alone and (taken or holding):
            break
        taken.append(_take(row, question, tenant, worker, until, now, alone=alone))
        if alone:
            break
    return taken


def _take(
    row: BatchQuestionRow, question: Question, tenant: str, worker: str, until: datetime, now: datetime, *, alone: bool
) -> QuestionItem:
    row.status = QuestionStatus.RUNNING
    row.attempts += 1
    row.started_at = now
    row.lease_token, row.lease_owner, row.lease_until = uuid.uuid4().hex, worker, until
    return QuestionItem(
        token=row.lease_token,
        tenant=tenant,
        job_id=row.job_id,
        ordinal=row.ordinal,
        question=question,
        attempt=row.attempts,
        alone=alone,
    )


def next_due(session: Session) -> datetime | None:
    """When the next queued question may be claimed; in the past when one may be claimed now."""
    row = BatchQuestionRow
    statement = select(row.not_before).where(row.status == QuestionStatus.QUEUED)
    first = session.execute(statement.order_by(row.not_before.nulls_first()).limit(1)).first()
    return None if first is None else first[0] or datetime.min.replace(tzinfo=UTC)


def extend(session: Session, items: Sequence[QuestionItem], until: datetime) -> frozenset[str]:
    """Prolongs leases; returns the tokens whose work is still wanted."""
    row = BatchQuestionRow
    tokens = {(item.job_id, item.ordinal): item.token for item in items}
    theirs = select(row).where(tuple_(row.job_id, row.ordinal).in_(sorted(tokens)))
    wanted = set()
    for question in session.scalars(theirs.order_by(row.job_id, row.ordinal).with_for_update()).all():
        token = tokens[question.job_id, question.ordinal]
        if question.lease_token == token:
            question.lease_until = until
            wanted.add(token)
    return frozenset(wanted)


def lock(session: Session, job_id: str, statuses: Iterable[QuestionStatus]) -> None:
    """Locks questions of a batch in the order in which `extend` does: two never wait for each other in a circle."""
    row = BatchQuestionRow
    theirs = select(row.ordinal).where(row.job_id == job_id, row.status.in_(statuses))
    session.execute(theirs.order_by(row.job_id, row.ordinal).with_for_update())


def finish(session: Session, item: QuestionItem, answer: dict[str, Any], now: datetime) -> bool:
    """Keeps an answer; returns whether anybody still wanted it."""
    row = _held(session, item)
    if row is None:
        return False
    _unlease(row)
    row.status, row.answer, row.finished_at = QuestionStatus.ANSWERED, answer, now
    row.error_code = row.error_detail = row.not_before = None
    return True


def fail(session: Session, item: QuestionItem, error: StrataError, now: datetime, max_attempts: int) -> bool:
    """Records a failed try; returns whether there will be another."""
    row = _held(session, item)
    if row is None:
        return False
    _unlease(row)
    delay_s = max(RETRY_DELAY_S * 3 ** (item.attempt - 1), error.retry_after_s or 0.0)
    return _give_back(row, error, now, max_attempts, delay_s=delay_s)


def postpone(session: Session, item: QuestionItem, error: StrataError, now: datetime) -> None:
    """Gives a question back for later. The try does not count: the fault was not the question's."""
    row = _held(session, item)
    if row is None:
        return
    _unlease(row)
    row.status = QuestionStatus.QUEUED
    row.attempts -= 1
    row.not_before = now + timedelta(seconds=max(RETRY_DELAY_S, error.retry_after_s or 0.0))
    row.error_code, row.error_detail = error.code, clean(error.detail)


def release(session: Session, item: QuestionItem) -> None:
    """Gives a question back that was not worked on to its end. The try does not count."""
    row = _held(session, item)
    if row is None:
        return
    _unlease(row)
    row.status = QuestionStatus.QUEUED
    row.attempts -= 1


def _give_back(row: BatchQuestionRow, error: StrataError, now: datetime, max_attempts: int, *, delay_s: float) -> bool:
    again = error.retryable and row.attempts < max_attempts
    row.status = QuestionStatus.QUEUED if again else QuestionStatus.FAILED
    row.not_before = now + timedelta(seconds=delay_s) if again and delay_s else None
    row.error_code, row.error_detail = error.code, clean(error.detail)
    row.finished_at = None if again else now
    return again


def _held(session: Session, item: QuestionItem) -> BatchQuestionRow | None:
    row = session.get(BatchQuestionRow, (item.job_id, item.ordinal), with_for_update=True)
    return row if row is not None and row.lease_token == item.token else None


def _unlease(row: BatchQuestionRow) -> None:
    row.lease_token = row.lease_owner = row.lease_until = None


def _dead(owner: str | None) -> bool:
    return owner is not None and is_dead(owner)
