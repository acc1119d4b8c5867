"""Batches of questions: what was asked, whose turn it is, and what came of it."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pipelines.core.access import Labels
from pipelines.core.errors import ConflictError, InvalidRequestError, StrataError
from pipelines.core.state import jobs, questions
from pipelines.core.state.batch_records import NewQuestion, QuestionItem, QuestionResult
from pipelines.core.state.clock import Clock, utc_now
from pipelines.core.state.database import Database
from pipelines.core.state.jobs import ANSWERS
from pipelines.core.state.progress import Progress
from pipelines.core.state.records import Job, Once, QuestionStatus
from pipelines.core.state.tables import BatchQuestionRow, JobRow
from pipelines.core.types import Answer

CHUNK = 500
_OPEN = (QuestionStatus.QUEUED, QuestionStatus.RUNNING)


class Batches:
    """Questions and answers in the state database. Safe to share between threads and processes.

    What a method wrote is durable when it returns. Every method may raise `StateUnavailableError`. Clocks are compared:
    machines must agree to within a few seconds. Those that take `labels` show the reader, who holds these, what was
    asked with labels that the reader holds; `None` shows all.

    Args:
        max_attempts: Tries of a question before a retryable error ends it as failed.
        clock: Gives aware times.
    """

    def __init__(self, database: Database, *, max_attempts: int = 3, clock: Clock = utc_now) -> None:
        self._database, self._max_attempts, self._clock = database, max_attempts, clock

    # --- Callers ---------------------------------------------------------------------------------------------------

    def accept(
        self, tenant: str, asked: Iterable[NewQuestion], *, labels: Labels | None = None, once: Once | None = None
    ) -> Job:
        """Records a batch in one transaction, however long; reads `asked` once, as it writes.

        Args:
            labels: Access labels of whoever asks; `None`: every one.
            once: Gives the job of an earlier submission with the same key back, and reads nothing.

        Raises:
            InvalidRequestError: there is no question.
            RepeatedKeyError: the key was used for another request.
        """
        for last in (False, True):
            try:
                with self._database.write() as session:
                    earlier = jobs.find(session, tenant, once, labels)
                    job_id = earlier.id if earlier is not None else self._add(session, tenant, asked, labels, once)
                break
            except IntegrityError as error:  # PostgreSQL: the same key was used at the same moment
                if last:
                    raise ConflictError("The same request is being accepted at this moment.") from error
        return self._job(job_id, tenant, replayed=earlier is not None)

    def _add(
        self, session: Session, tenant: str, asked: Iterable[NewQuestion], labels: Labels | None, once: Once | None
    ) -> str:
        now = self._clock()
        job = jobs.new(session, tenant, ANSWERS, now, labels=labels, once=once)
        rows = (_values(job.id, ordinal, question, now) for ordinal, question in enumerate(asked))
        while chunk := list(islice(rows, CHUNK)):
            session.execute(insert(BatchQuestionRow), chunk)
            job.total += len(chunk)
        if not job.total:
            raise InvalidRequestError("A batch needs at least one question.")
        return job.id

    def job(self, job_id: str, tenant: str, *, labels: Labels | None = None) -> Job:
        """A batch with its counts.

        Raises:
            NotFoundError: the tenant has no such batch, or the reader does not see it.
        """
        with self._database.read() as session:
            _batch(session, tenant, job_id, labels)
        return self._job(job_id, tenant)

    def results(
        self, job_id: str, tenant: str, *, after: int = -1, limit: int = 100, labels: Labels | None = None
    ) -> list[QuestionResult]:
        """Questions of a batch in order, from the one behind ordinal `after`, whether they have ended or not.

        Raises:
            NotFoundError: the tenant has no such batch, or the reader does not see it.
        """
        with self._database.read() as session:
            _batch(session, tenant, job_id, labels)
            row = BatchQuestionRow
            statement = select(row).where(row.job_id == job_id, row.ordinal > after).order_by(row.ordinal)
            return [_result(found) for found in session.scalars(statement.limit(limit))]

    def cancel(self, job_id: str, tenant: str, *, labels: Labels | None = None) -> Job:
        """Cancels what has not ended. A worker that is at it learns of that from `extend`. Idempotent.

        Raises:
            NotFoundError: the tenant has no such batch, or the reader does not see it.
        """
        with self._database.write() as session:
            job = _batch(session, tenant, job_id, labels, lock=True)
            now = self._clock()
            job.cancelled_at = job.cancelled_at or now
            ended: dict[str, Any] = {"status": QuestionStatus.CANCELLED, "finished_at": now, "not_before": None}
            _set(session, job_id, _OPEN, **ended, lease_token=None, lease_owner=None, lease_until=None)
        return self._job(job_id, tenant)

    def retry(self, job_id: str, tenant: str, *, labels: Labels | None = None) -> int:
        """Queues the failed questions again; returns how many.

        Raises:
            NotFoundError: the tenant has no such batch, or the reader does not see it.
        """
        with self._database.write() as session:
            _batch(session, tenant, job_id, labels, lock=True)
            again: dict[str, Any] = {"status": QuestionStatus.QUEUED, "queued_at": self._clock(), "attempts": 0}
            gone = ("error_code", "error_detail", "finished_at", "not_before")
            return _set(session, job_id, (QuestionStatus.FAILED,), **again, **dict.fromkeys(gone))

    def delete(self, job_id: str, tenant: str, *, labels: Labels | None = None) -> None:
        """Removes a batch with its questions and answers, in any state.

        Raises:
            NotFoundError: the tenant has no such batch, or the reader does not see it.
        """
        with self._database.write() as session:
            job = _batch(session, tenant, job_id, labels, lock=True)
            questions.lock(session, job_id, QuestionStatus)
            session.delete(job)

    # --- Workers ---------------------------------------------------------------------------------------------------

    def claim(self, limit: int, worker: str, lease_s: float, *, holding: int = 0) -> list[QuestionItem]:
        """Takes up to `limit` questions, those first that wait longest. No two workers ever hold the same one.

        What dead or stalled workers held is taken again: at once when the owner was a process of this host
        (`owner_id`), else when its lease ends. Each claim counts as an attempt.

        Args:
            holding: Questions that the worker is at already. None is given out as long as the next one is to be
                answered alone, and there are any.
        """
        with self._database.write() as session:
            now = self._clock()
            questions.reap(session, now, self._max_attempts)
            return questions.claim(session, limit, worker, now + timedelta(seconds=lease_s), now, holding=holding)

    def next_due_s(self) -> float | None:
        """Seconds until `claim` may find something, 0 when it may now; `None` when nothing is queued."""
        with self._database.read() as session:
            due = questions.next_due(session)
        return None if due is None else max(0.0, (due - self._clock()).total_seconds())

    def waiting(self) -> int:
        """Questions that wait, of all tenants."""
        statement = select(func.count()).select_from(BatchQuestionRow)
        with self._database.read() as session:
            return session.scalar(statement.where(BatchQuestionRow.status == QuestionStatus.QUEUED)) or 0

    def counts(self) -> dict[QuestionStatus, int]:
        """Questions of all tenants by status, every status named."""
        row = BatchQuestionRow
        with self._database.read() as session:
            found = session.execute(select(row.status, func.count()).group_by(row.status)).all()
        return {**dict.fromkeys(QuestionStatus, 0), **{QuestionStatus(status): number for status, number in found}}

    def extend(self, items: Sequence[QuestionItem], lease_s: float) -> frozenset[str]:
        """Prolongs leases and returns the tokens still wanted; the others were cancelled, deleted or lost."""
        with self._database.write() as session:
            return questions.extend(session, items, self._clock() + timedelta(seconds=lease_s))

    def finish(self, item: QuestionItem, answer: Answer) -> bool:
        """Keeps an answer and ends the lease; returns whether anybody still wanted it."""
        with self._database.write() as session:
            return questions.finish(session, item, answer.model_dump(mode="json"), self._clock())

    def fail(self, item: QuestionItem, error: StrataError) -> bool:
        """Records a failed try and ends the lease; returns whether the question will be tried again."""
        with self._database.write() as session:
            return questions.fail(session, item, error, self._clock(), self._max_attempts)

    def postpone(self, item: QuestionItem, error: StrataError) -> None:
        """Gives a question back for later, because what answers it is overloaded. The try does not count."""
        with self._database.write() as session:
            questions.postpone(session, item, error, self._clock())

    def release(self, item: QuestionItem) -> None:
        """Gives a question back that was not worked on to its end, for example at shutdown. The try does not count."""
        with self._database.write() as session:
            questions.release(session, item)

    def reclaim(self, *, everyone: bool = False) -> int:
        """Ends the leases of workers that are gone and returns how many questions that frees.

        Args:
            everyone: Ends all leases. Only for a process that knows itself alone.
        """
        with self._database.write() as session:
            return questions.reap(session, self._clock(), self._max_attempts, everyone=everyone)

    def _job(self, job_id: str, tenant: str, *, replayed: bool = False) -> Job:
        return replace(Progress(self._database, self._clock).job(job_id, tenant), replayed=replayed)


def _batch(session: Session, tenant: str, job_id: str, labels: Labels | None, *, lock: bool = False) -> JobRow:
    job = (jobs.locked if lock else jobs.owned)(session, tenant, job_id, labels)
    if job.kind != ANSWERS:
        raise jobs.unknown(job_id)
    return job


def _values(job_id: str, ordinal: int, asked: NewQuestion, now: datetime) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "ordinal": ordinal,
        "custom_id": asked.custom_id,
        "question": dict(asked.question),
        "status": QuestionStatus.QUEUED,
        "attempts": 0,
        "queued_at": now + timedelta(microseconds=ordinal),  # the queue has one order, which its index gives
    }


def _set(session: Session, job_id: str, statuses: Collection[QuestionStatus], **values: Any) -> int:
    questions.lock(session, job_id, statuses)
    row = BatchQuestionRow
    statement = update(row).where(row.job_id == job_id, row.status.in_(statuses)).returning(row.ordinal)
    found: Iterator[int] = session.scalars(statement.values(**values), execution_options={"synchronize_session": False})
    return sum(1 for _ in found)


def _result(row: BatchQuestionRow) -> QuestionResult:
    return QuestionResult(
        ordinal=row.ordinal,
        custom_id=row.custom_id,
        status=QuestionStatus(row.status),
        attempts=row.attempts,
        answer=row.answer,
        error_code=row.error_code,
        error_detail=row.error_detail,
        next_try_at=row.not_before,
        finished_at=row.finished_at,
    )
