"""Sources: what folders and buckets documents come from, whose turn it is to look there, and what was seen."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pipelines.core.access import Labels, Principal
from pipelines.core.errors import ConflictError, ForbiddenError, StrataError
from pipelines.core.state import jobs, seen, source_rows
from pipelines.core.state.clock import Clock, utc_now
from pipelines.core.state.columns import visible
from pipelines.core.state.database import Database
from pipelines.core.state.owners import is_dead
from pipelines.core.state.records import Metadata
from pipelines.core.state.source_records import ReadFile, SeenFile, Source, SourceStatus, SyncEndedError, SyncItem
from pipelines.core.state.storable import clean, clean_metadata
from pipelines.core.state.tables import SourceRow

RETRY_DELAY_S = 5.0
"""Wait before the second try; it doubles with each further one."""


class Sources:
    """Sources in the state database. Safe to share between threads and processes.

    What a method wrote is durable when it returns. Every method may raise `StateUnavailableError`. Methods that take
    `labels` show the reader, who holds these, only what such a reader sees; `None` shows all.

    Args:
        max_attempts: Tries of a sync before a retryable error ends it as failed.
        clock: Gives aware times.
    """

    def __init__(self, database: Database, *, max_attempts: int = 3, clock: Clock = utc_now) -> None:
        self._database, self._max_attempts, self._clock = database, max_attempts, clock

    # --- Callers ---------------------------------------------------------------------------------------------------

    def add(
        self,
        tenant: str,
        url: str,
        *,
        metadata: Metadata,
        document_labels: Labels = (),
        keep_deleted: bool = False,
        labels: Labels | None = None,
        hold_s: float = 0.0,
    ) -> Source:
        """Makes a source, or finds the tenant's source of that address and changes it; queues a sync of it.

        Args:
            hold_s: For so long only `claim` with the source's id takes it.

        Raises:
            ForbiddenError: the source belongs to readers with other labels.
            ConflictError: it is being synchronised or deleted, and is to change.
        """
        for last in (False, True):
            try:
                with self._database.write() as session:
                    now = self._clock()
                    row = self._named(session, tenant, url, labels) or source_rows.new(session, tenant, url, now)
                    self._change(row, clean_metadata(metadata), document_labels, keep_deleted)
                    source_rows.queue(session, row, labels, now, hold_s)
                    return source_rows.record(row)
            except IntegrityError as error:  # PostgreSQL: two callers made it at the same moment
                if last:
                    raise ConflictError("The same source is being made at this moment.") from error
        raise AssertionError("the last try returns or raises")

    def _named(self, session: Session, tenant: str, url: str, labels: Labels | None) -> SourceRow | None:
        statement = select(SourceRow).where(SourceRow.tenant == tenant, SourceRow.url_sha256 == source_rows.digest(url))
        row = session.scalars(statement.with_for_update()).one_or_none()
        if row is not None and not Principal(labels=labels).owns(row.labels):
            raise ForbiddenError("This source belongs to readers with other access labels.")
        return row

    def _change(self, row: SourceRow, metadata: dict[str, object], labels: Labels, keep_deleted: bool) -> None:
        wanted = (metadata, labels, keep_deleted)
        if (row.metadata_, row.labels, row.keep_deleted) != wanted and row.lease_token is not None:
            raise ConflictError("The source is being synchronised; change it when that has ended.")
        row.metadata_, row.labels, row.keep_deleted = wanted

    def sync(self, source_id: str, tenant: str, *, labels: Labels | None = None, hold_s: float = 0.0) -> Source:
        """Queues a sync; one that is queued or running is joined.

        Raises:
            NotFoundError: the tenant has no such source.
            ForbiddenError: the source belongs to readers with other labels as well.
            ConflictError: it is being deleted.
        """
        with self._database.write() as session:
            row = source_rows.owned(session, source_id, tenant, labels)
            source_rows.queue(session, row, labels, self._clock(), hold_s)
            return source_rows.record(row)

    def remove(self, source_id: str, tenant: str, *, documents: bool, labels: Labels | None = None) -> Source:
        """Forgets a source at once; with its documents, it is `deleting` until a worker has marked them. Idempotent.

        Raises:
            NotFoundError: the tenant has no such source.
            ForbiddenError: the source belongs to readers with other labels as well.
        """
        with self._database.write() as session:
            row = source_rows.owned(session, source_id, tenant, labels)
            found = source_rows.record(row)
            if not documents:
                session.delete(row)
                return found
            source_rows.unlease(row)
            row.status, row.queued_at, row.not_before, row.attempts = SourceStatus.DELETING, self._clock(), None, 0
            return source_rows.record(row)

    def get(self, source_id: str, tenant: str, *, labels: Labels | None = None) -> Source:
        """One source.

        Raises:
            NotFoundError: the tenant has no such source.
        """
        with self._database.read() as session:
            return source_rows.record(source_rows.seen_by(session, source_id, tenant, labels))

    def list(self, tenant: str, *, labels: Labels | None = None, limit: int = 1000) -> Sequence[Source]:
        """A tenant's sources, oldest first."""
        with self._database.read() as session:
            statement = select(SourceRow).where(SourceRow.tenant == tenant, visible(SourceRow.labels, labels))
            rows = session.scalars(statement.order_by(SourceRow.created_at, SourceRow.id).limit(limit))
            return [source_rows.record(row) for row in rows]

    # --- Workers ---------------------------------------------------------------------------------------------------

    def claim(self, worker: str, lease_s: float, source_id: str | None = None) -> SyncItem | None:
        """Takes the source that waits longest, or this one whatever it waits for. No two workers ever hold the same.

        What a dead or stalled worker held is taken again; each claim counts as an attempt.
        """
        with self._database.write() as session:
            now = self._clock()
            self._reap(session, now)
            statement = select(SourceRow).where(
                SourceRow.status.in_((SourceStatus.QUEUED, SourceStatus.DELETING)), SourceRow.lease_token.is_(None)
            )
            if source_id is not None:
                statement = statement.where(SourceRow.id == source_id)
            else:
                statement = statement.where(or_(SourceRow.not_before.is_(None), SourceRow.not_before <= now))
            statement = statement.order_by(SourceRow.queued_at).limit(1).with_for_update(skip_locked=True)
            row = session.scalars(statement).first()
            return None if row is None else source_rows.take(row, worker, now + timedelta(seconds=lease_s))

    def _reap(self, session: Session, now: datetime) -> None:
        held = SourceRow.lease_token.is_not(None)
        owners = session.scalars(select(SourceRow.lease_owner).where(held).distinct())
        dead = [owner for owner in owners if owner is not None and is_dead(owner)]
        gone = or_(SourceRow.lease_until < now, SourceRow.lease_owner.in_(dead))
        for row in session.scalars(select(SourceRow).where(held, gone).with_for_update(skip_locked=True)):
            source_rows.unlease(row)
            if row.status == SourceStatus.RUNNING:
                if row.attempts >= self._max_attempts:
                    source_rows.end(
                        row, SourceStatus.FAILED, "worker_lost", "The process that synchronised this source died."
                    )
                else:
                    row.status = SourceStatus.QUEUED
        session.flush()

    def next_due_s(self) -> float | None:
        """Seconds until `claim` may find something, 0 when it may now; `None` when nothing is queued."""
        with self._database.read() as session:
            waiting = select(SourceRow.not_before).where(
                SourceRow.status.in_((*source_rows.BUSY, SourceStatus.DELETING)), SourceRow.lease_token.is_(None)
            )
            row = session.execute(waiting.order_by(SourceRow.not_before.nulls_first()).limit(1)).first()
        if row is None:
            return None
        return 0.0 if row[0] is None else max(0.0, (row[0] - self._clock()).total_seconds())

    def extend(self, item: SyncItem, lease_s: float) -> bool:
        """Prolongs the lease; `False` when it was lost, or the source is wanted no more. Call it each `lease_s / 3`."""
        with self._database.write() as session:
            row = source_rows.held(session, item)
            if row is None:
                return False
            row.lease_until = self._clock() + timedelta(seconds=lease_s)
            return True

    def look(self, item: SyncItem, files: Sequence[SeenFile]) -> dict[str, bool]:
        """Of files that were just listed, the paths of those to read; each with whether it was seen before.

        The others are noted as still there.

        Raises:
            SyncEndedError: the lease was lost.
        """
        with self._database.write() as session:
            row = source_rows.leased(session, item)
            row.listed += len(files)
            return seen.look(session, item, files)

    def accept(self, item: SyncItem, files: Sequence[ReadFile]) -> None:
        """Records documents of files that were read, and that these were: both or neither.

        Raises:
            SyncEndedError: the lease was lost, or the sync's job was cancelled.
            ConflictError: a document belongs to readers with other labels.
        """
        with self._database.write() as session:
            row = source_rows.leased(session, item)
            assert row.job_id is not None
            job = jobs.locked(session, item.tenant, row.job_id)
            if job.cancelled_at is not None:
                raise SyncEndedError("The job of this sync was cancelled.")
            seen.accept(session, item, job, files, self._clock())
            row.added += sum(not read.known for read in files)
            row.changed += sum(read.known for read in files)

    def keep(self, item: SyncItem, file: SeenFile) -> None:
        """Notes that a file is still there whose documents could not be recorded: what is known of it stays.

        Raises:
            SyncEndedError: the lease was lost.
        """
        with self._database.write() as session:
            source_rows.leased(session, item)
            seen.keep(session, item, file)

    def forget_unseen(self, item: SyncItem, limit: int) -> int:
        """Marks documents for deletion whose files were not seen in this look; returns how many files that were.

        Call it again until that is none, and only after all of the source was listed.

        Raises:
            SyncEndedError: the lease was lost.
        """
        with self._database.write() as session:
            row = source_rows.leased(session, item)
            files, members = seen.forget(session, item, limit, self._clock())
            row.deleted += files
            return files + members

    def known(self, item: SyncItem) -> int:
        """How many files were seen in earlier looks."""
        with self._database.read() as session:
            return seen.count(session, item)

    def finish(self, item: SyncItem, *, incomplete: str | None = None) -> None:
        """Ends a sync, or forgets a source that was to be deleted.

        Args:
            incomplete: Why it is not as it should be, though what was found was accepted.
        """
        with self._database.write() as session:
            row = source_rows.held(session, item)
            if row is None:
                return
            if item.deleting:
                session.delete(row)
                return
            source_rows.unlease(row)
            if incomplete:
                source_rows.end(row, SourceStatus.FAILED, "source_incomplete", incomplete)
            else:
                source_rows.end(row, SourceStatus.SYNCED, None, None)
                row.synced_at = self._clock()

    def fail(self, item: SyncItem, error: StrataError) -> bool:
        """Records a failed try and ends the lease; returns whether there will be another."""
        with self._database.write() as session:
            row = source_rows.held(session, item)
            if row is None:
                return False
            source_rows.unlease(row)
            again = item.deleting or (error.retryable and row.attempts < self._max_attempts)
            if again:
                delay_s = error.retry_after_s or RETRY_DELAY_S * 2 ** (min(item.attempt, 6) - 1)
                row.not_before = self._clock() + timedelta(seconds=delay_s)
                row.status = SourceStatus.DELETING if item.deleting else SourceStatus.QUEUED
                row.error_code, row.error_detail = error.code, clean(error.detail)
            else:
                source_rows.end(row, SourceStatus.FAILED, error.code, clean(error.detail))
            return again

    def release(self, item: SyncItem, *, delay_s: float = 0.0) -> None:
        """Gives a source back that was not looked at to its end. The try does not count."""
        with self._database.write() as session:
            row = source_rows.held(session, item)
            if row is None:
                return
            source_rows.unlease(row)
            row.attempts -= 1
            row.not_before = self._clock() + timedelta(seconds=delay_s) if delay_s else None
            if row.status == SourceStatus.RUNNING:
                row.status = SourceStatus.QUEUED
