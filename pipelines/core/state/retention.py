"""What is forgotten, and when: receipts, records of stages, finished jobs, batches. And whose turn it is to look."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pipelines.core.state.clock import Clock, utc_now
from pipelines.core.state.database import Database
from pipelines.core.state.document_rows import OPEN
from pipelines.core.state.jobs import ANSWERS
from pipelines.core.state.learning_tables import TraceRow
from pipelines.core.state.records import DocumentStatus, ItemStatus
from pipelines.core.state.tables import AnswerRow, BatchQuestionRow, DocumentRow, JobItemRow, JobRow, SourceRow, TurnRow

FOR_EVER_DAYS = 36_500.0


class Retention:
    """Removes old records, some at a time. Every method may raise `StateUnavailableError`.

    Args:
        clock: Gives aware times.
    """

    def __init__(self, database: Database, *, clock: Clock = utc_now) -> None:
        self._database, self._clock = database, clock

    def take_turn(self, name: str, within_s: float) -> str | None:
        """Takes a turn that is due, over all processes; `None` where it is not, or another has it.

        Args:
            within_s: After that time the turn is due again, should this process not come to `end_turn`.

        Returns:
            Where the last turn ended; empty at first.
        """
        try:
            with self._database.write() as session:
                now = self._clock()
                row = session.get(TurnRow, name, with_for_update=True)
                if row is None:
                    row = TurnRow(name=name, place="")
                    session.add(row)
                elif row.due_at > now:
                    return None
                row.due_at = now + timedelta(seconds=within_s)
                return row.place
        except IntegrityError:  # PostgreSQL: another process took the very first one
            return None

    def end_turn(self, name: str, place: str, pause_s: float) -> None:
        """Ends a turn: says where the next one goes on, and when."""
        with self._database.write() as session:
            row = session.get(TurnRow, name, with_for_update=True)
            if row is not None:
                row.place, row.due_at = place, self._clock() + timedelta(seconds=pause_s)

    def forget_receipts(self, keep_days: float, limit: int) -> int:
        """Removes receipts that are older; returns how many."""
        old = select(AnswerRow.answer_id).where(AnswerRow.created_at < self._before(keep_days)).limit(limit)
        with self._database.write() as session:
            ids = session.scalars(old).all()
            session.execute(delete(AnswerRow).where(AnswerRow.answer_id.in_(ids)))
            return len(ids)

    def forget_traces(self, keep_days: float, limit: int) -> int:
        """Removes records of stages that are older, with their labels; returns how many."""
        old = select(TraceRow.id).where(TraceRow.created_at < self._before(keep_days)).limit(limit)
        with self._database.write() as session:
            ids = session.scalars(old).all()
            session.execute(delete(TraceRow).where(TraceRow.id.in_(ids)))
            return len(ids)

    def forget_jobs(self, keep_days: float, limit: int) -> int:
        """Removes jobs of documents that ended longer ago, with their items; returns how many.

        A job stays as long as a document of it failed and could be retried.
        """
        before = self._before(keep_days)
        item = JobItemRow
        retryable = and_(
            item.status == ItemStatus.FAILED,
            item.document_id == DocumentRow.id,
            item.fingerprint == DocumentRow.pending_version,
            DocumentRow.status == DocumentStatus.FAILED,
        )
        kept = (
            select(item.ordinal).where(
                item.job_id == JobRow.id, or_(item.status.in_(OPEN), item.finished_at >= before)
            ),
            select(item.ordinal).join(DocumentRow, retryable).where(item.job_id == JobRow.id),
            select(SourceRow.id).where(SourceRow.job_id == JobRow.id),
        )
        with self._database.write() as session:
            return _forget(session, limit, JobRow.kind != ANSWERS, JobRow.created_at < before, *kept)

    def forget_batches(self, keep_days: float, limit: int) -> int:
        """Removes batches of questions that ended longer ago, with their answers; returns how many."""
        before = self._before(keep_days)
        row = BatchQuestionRow
        kept = select(row.ordinal).where(row.job_id == JobRow.id, or_(row.status.in_(OPEN), row.finished_at >= before))
        with self._database.write() as session:
            return _forget(session, limit, JobRow.kind == ANSWERS, JobRow.created_at < before, kept)

    def _before(self, keep_days: float) -> datetime:
        return self._clock() - timedelta(days=min(keep_days, FOR_EVER_DAYS))


def _forget(session: Session, limit: int, kind: ColumnElement[bool], old: ColumnElement[bool], *kept: Any) -> int:
    """Removes jobs for which none of the queries finds anything; the database removes their items."""
    statement = select(JobRow.id).where(kind, old, *(~query.exists() for query in kept))
    ids = session.scalars(statement.limit(limit).with_for_update(skip_locked=True, of=JobRow)).all()
    # Asked again, now that nobody else has them: a retry may have come in between.
    session.execute(delete(JobRow).where(JobRow.id.in_(session.scalars(statement.where(JobRow.id.in_(ids))).all())))
    return len(ids)
