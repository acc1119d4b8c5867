"""The ledger: the record of what was accepted and what became of it."""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from sqlalchemy import URL, Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pipelines.core.access import Labels
from pipelines.core.errors import ConflictError, StrataError
from pipelines.core.state import jobs, progress, queries, submit, work
from pipelines.core.state.database import Database, sqlite_url
from pipelines.core.state.records import (
    AnswerRecord,
    Counts,
    Deletion,
    Document,
    DocumentStatus,
    ItemStatus,
    Job,
    JobItem,
    Once,
    Page,
    Submission,
    WorkItem,
)
from pipelines.core.state.reindexes import Reindexes
from pipelines.core.state.tables import AnswerRow
from pipelines.core.types import Answer


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Ledger:
    """Documents, jobs and receipts in a SQL database. Safe to share between threads and processes.

    What a method wrote is durable when it returns. Every method may raise `StateUnavailableError`; building one also
    `ConfigurationError`. Leases compare clocks: the machines that share a ledger must agree to within a few seconds.
    Methods that take `labels` show the reader, who holds these, only what such a reader sees, and find nothing else;
    `None` shows all of the tenant. See `pipelines.core.access`.

    Args:
        address: SQLAlchemy address or engine, the path of a SQLite file, or an open database to share with other parts.
            The schema is upgraded when it is old.
        max_attempts: Tries of a document before a retryable error ends it as failed.
        clock: Gives aware times.
    """

    def __init__(
        self,
        address: str | URL | Path | Engine | Database,
        *,
        max_attempts: int = 3,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        if isinstance(address, Path):
            address = sqlite_url(address)
        self._database = address if isinstance(address, Database) else Database(address)
        self._max_attempts = max_attempts
        self._clock = clock

    @property
    def reindexes(self) -> Reindexes:
        """Which collections a reindex replaces, or has replaced."""
        return Reindexes(self._database, self._clock)

    def close(self) -> None:
        """Closes the connections. Idempotent."""
        self._database.close()

    def __enter__(self) -> Self:
        """Gives the ledger, to be closed on leaving."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes."""
        self.close()

    # --- Callers ---------------------------------------------------------------------------------------------------

    def accept(
        self,
        tenant: str,
        submissions: Sequence[Submission],
        *,
        job_id: str | None = None,
        kind: str = "ingest",
        labels: Labels | None = None,
        once: Once | None = None,
    ) -> Job:
        """Records a batch, all of it or nothing; the caller may promise it to the client on return.

        A document whose fingerprint the index shows already comes back `unchanged`. The same fingerprint while it is
        queued or running joins that work. Another fingerprint supersedes what is outstanding. A document that is being
        deleted is queued anew once it is gone.

        Args:
            job_id: Adds to this job, instead of making one.
            labels: Access labels of whoever submits; `None`: every one.
            once: Gives the job of an earlier submission with the same key back, and changes nothing.

        Raises:
            InvalidRequestError: the batch is empty.
            NotFoundError: the tenant has no such job.
            ConflictError: an id belongs to another source or tenant, or a source to another id; a document belongs to
                readers with other labels; the job to add to was cancelled.
            RepeatedKeyError: the key was used for another request.
        """

        def work(session: Session, now: datetime) -> tuple[str, bool]:
            if (earlier := jobs.find(session, tenant, once, labels)) is not None:
                return earlier.id, True
            if job_id is not None:
                job = jobs.open_to(session, tenant, job_id)
            else:
                job = jobs.new(session, tenant, kind, now, labels=labels, once=once)
            submit.accept(session, job, submissions, now, labels)
            return job.id, False

        return self._accepted(tenant, work)

    def start_job(self, tenant: str, kind: str, *, labels: Labels | None = None, once: Once | None = None) -> Job:
        """Makes a job that has no documents yet; `accept` adds to it. For the arguments see there.

        Raises:
            RepeatedKeyError: the key was used for another request.
        """

        def work(session: Session, now: datetime) -> tuple[str, bool]:
            if (earlier := jobs.find(session, tenant, once, labels)) is not None:
                return earlier.id, True
            return jobs.new(session, tenant, kind, now, labels=labels, once=once).id, False

        return self._accepted(tenant, work)

    def _accepted(self, tenant: str, work: Callable[[Session, datetime], tuple[str, bool]]) -> Job:
        for last in (False, False, True):
            try:
                with self._database.write() as session:
                    job_id, replayed = work(session, self._clock())
                break
            except IntegrityError as error:  # PostgreSQL: two batches brought the same new document, or key, at once
                if last:
                    raise ConflictError("Another submission of the same documents is being accepted.") from error
        with self._database.read() as session:
            return progress.one(session, tenant, job_id, self._clock(), replayed=replayed)

    def delete_document(self, document_id: str, tenant: str, *, labels: Labels | None = None) -> Document:
        """Marks a document for deletion in any state; a worker that holds it can no longer bring it back. Idempotent.

        It is gone when `claim_deletions` handed it out and `purge` was called.

        Raises:
            NotFoundError: the tenant has no such document.
            ForbiddenError: it belongs to readers with other labels as well.
        """
        with self._database.write() as session:
            return queries.document(submit.delete(session, tenant, document_id, self._clock(), labels))

    def retry_failed(self, tenant: str, job_id: str | None = None, *, labels: Labels | None = None) -> int:
        """Queues failed documents again, of one job or all; returns how many.

        Raises:
            NotFoundError: the tenant has no such job.
        """
        retried, after = 0, ("", -1)
        while True:
            with self._database.write() as session:
                some, end = submit.retry(session, tenant, job_id, self._clock(), labels, after=after)
            retried += some
            if end is None:
                return retried
            after = end

    def cancel(self, job_id: str, tenant: str, *, labels: Labels | None = None) -> Job:
        """Cancels what a job has queued or running, except work that another job waits for as well. Idempotent.

        A running worker learns of it from `extend`. If it publishes before that, the document is `indexed` all the
        same. A document that was never indexed ends `failed` with the code `cancelled`. A large job is cancelled part
        by part; where that is broken off, cancel it again.

        Raises:
            NotFoundError: the tenant has no such job.
        """
        after: int | None = -1
        while after is not None:
            with self._database.write() as session:
                after = submit.cancel(session, tenant, job_id, self._clock(), labels, after=after)
        return self.job(job_id, tenant)

    # --- Workers ---------------------------------------------------------------------------------------------------

    def claim(self, limit: int, worker: str, lease_s: float, *, holding: bool = False) -> list[WorkItem]:
        """Takes up to `limit` documents, those first that wait longest. No two workers ever hold the same one.

        What dead or stalled workers held is taken again: at once when the owner was a process of this host
        (`owner_id`), else when its lease ends. Each claim counts as an attempt. Documents whose worker died go to the
        end of the queue and are handed out one at a time, so that one that kills its worker costs the others nothing.

        Args:
            holding: Whether the worker is at documents already. None is given out as long as the next one is to be
                worked on alone.
        """
        with self._database.write() as session:
            now = self._clock()
            work.reap(session, now, self._max_attempts)
            return work.claim(session, limit, worker, now + timedelta(seconds=lease_s), now, holding=holding)

    def next_due_s(self) -> float | None:
        """Seconds until `claim` may find something, 0 when it may now; `None` when nothing is queued.

        A worker that drains the queue waits this long, so that a retry that is due later is not left behind.
        """
        with self._database.read() as session:
            due = work.next_due(session)
        return None if due is None else max(0.0, (due - self._clock()).total_seconds())

    def extend(self, items: Sequence[WorkItem], lease_s: float) -> frozenset[str]:
        """Prolongs leases and returns the tokens still wanted; the others were deleted, cancelled, superseded or lost.

        A worker stops work that is not wanted and calls `release`. Call it at least every `lease_s / 3` seconds, and
        before publishing.
        """
        with self._database.write() as session:
            return work.extend(session, items, self._clock() + timedelta(seconds=lease_s))

    def finish(
        self, item: WorkItem, *, passages: int, title: str, text_key: str | None, build: str | None = None
    ) -> bool:
        """Records that the index shows `item.fingerprint`, and ends the lease. Call it after every publish.

        Args:
            build: The collection that it was published into (`Store.build`).

        Returns:
            Whether it was recorded; `False` when the lease was lost, the document is being deleted, or a reindex has
            replaced the collection, which queues the document again.
        """
        with self._database.write() as session:
            return work.finish(
                session, item, passages=passages, title=title, text_key=text_key, build=build, now=self._clock()
            )

    def fail(self, item: WorkItem, error: StrataError) -> bool:
        """Records a failed try and ends the lease; returns whether the document will be tried again."""
        with self._database.write() as session:
            return work.fail(session, item, error, self._clock(), self._max_attempts)

    def release(self, item: WorkItem) -> None:
        """Gives an item back that was not worked on to its end, for example at shutdown. The try does not count."""
        with self._database.write() as session:
            work.release(session, item, self._clock())

    def reclaim(self, *, everyone: bool = False) -> int:
        """Ends the leases of workers that are gone and returns how many documents that frees.

        Args:
            everyone: Ends all leases. Only for a process that knows itself alone, such as one that holds the lock of
                the embedded index.
        """
        with self._database.write() as session:
            return work.reap(session, self._clock(), self._max_attempts, everyone=everyone)

    def claim_deletions(self, limit: int, worker: str, lease_s: float) -> list[Deletion]:
        """Takes documents to delete that no worker holds any more. Remove them from the index, then `purge`."""
        with self._database.write() as session:
            now = self._clock()
            work.reap(session, now, self._max_attempts)
            return work.claim_deletions(session, limit, worker, now + timedelta(seconds=lease_s))

    def release_deletion(self, deletion: Deletion) -> None:
        """Gives a deletion back that could not be done, so that anybody may try it again."""
        with self._database.write() as session:
            work.release_deletion(session, deletion)

    def purge(self, deletion: Deletion, *, build: str | None = None) -> bool:
        """Forgets a deleted document, or queues it when it was submitted again meanwhile.

        Args:
            build: The collection that it was removed from (`Store.build`).

        Returns:
            `False` when the lease was lost, or a reindex has replaced the collection.
        """
        with self._database.write() as session:
            return work.purge(session, deletion, build, self._clock())

    # --- Anybody ---------------------------------------------------------------------------------------------------

    def document(self, document_id: str, tenant: str, *, labels: Labels | None = None) -> Document:
        """One document.

        Raises:
            NotFoundError: the tenant has no such document.
        """
        with self._database.read() as session:
            return queries.one_document(session, tenant, document_id, labels)

    def documents(
        self,
        tenant: str,
        *,
        labels: Labels | None = None,
        status: DocumentStatus | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Document]:
        """A tenant's documents, oldest first; pass `next_cursor` for the next page.

        Raises:
            InvalidRequestError: the cursor is not one of ours.
        """
        with self._database.read() as session:
            return queries.documents(session, tenant, labels, status=status, limit=limit, cursor=cursor)

    def job(self, job_id: str, tenant: str, *, labels: Labels | None = None) -> Job:
        """One job with its counts.

        Raises:
            NotFoundError: the tenant has no such job.
        """
        with self._database.read() as session:
            return progress.one(session, tenant, job_id, self._clock(), labels=labels)

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

        Args:
            labels: Of the reader: only jobs that were made with labels that the reader holds; `None`: all.

        Raises:
            InvalidRequestError: the cursor is not one of ours.
        """
        with self._database.read() as session:
            return progress.page(session, tenant, self._clock(), kinds=kinds, labels=labels, limit=limit, cursor=cursor)

    def job_items(
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
        with self._database.read() as session:
            now = self._clock()
            return progress.items(session, tenant, job_id, now, labels=labels, status=status, limit=limit, after=after)

    def changed_items(
        self, job_id: str, tenant: str, *, since: tuple[datetime, int], limit: int = 500, labels: Labels | None = None
    ) -> list[JobItem]:
        """Items of a job that changed after `since`, an `(updated_at, ordinal)`, in the order of their change.

        A change may appear behind a later one for as long as its transaction takes: look back a few seconds.

        Raises:
            NotFoundError: the tenant has no such job.
        """
        with self._database.read() as session:
            now = self._clock()
            return progress.changed(session, tenant, job_id, now, labels=labels, since=since, limit=limit)

    def queued(self) -> int:
        """Documents that wait, of all tenants."""
        with self._database.read() as session:
            return queries.queued(session)

    def counts(self, tenant: str | None = None) -> Counts:
        """Figures for metrics and `/readyz`, over all tenants by default."""
        with self._database.read() as session:
            return queries.counts(session, tenant, self._clock())

    def running(self) -> list[tuple[str, str]]:
        """Documents that workers hold, of all tenants, each with the fingerprint that is being prepared."""
        with self._database.read() as session:
            return queries.running(session)

    def unreferenced(self, keys: Sequence[str]) -> list[str]:
        """Those blob and text keys that nothing in the ledger needs any more."""
        with self._database.read() as session:
            return queries.unreferenced(session, keys)

    def record(self, tenant: str, answer: Answer, *, labels: Labels | None = None) -> None:
        """Keeps an answer's receipt, and none of its text. Recording an answer again replaces it.

        Args:
            labels: Access labels of whoever asked; `None`: every one.
        """
        total = answer.receipt.total
        row = AnswerRow(
            answer_id=answer.id,
            tenant=tenant,
            created_at=self._clock(),
            status=answer.status,
            total_ms=answer.receipt.total_ms,
            cost_usd=total.cost_usd,
            tokens_in=total.tokens_in,
            tokens_out=total.tokens_out,
            config_version=answer.config_version,
            labels=labels,
            receipt=answer.receipt.model_dump(mode="json", exclude={"total"}),
        )
        with self._database.write() as session:
            session.merge(row)

    def receipt(self, answer_id: str, tenant: str, *, labels: Labels | None = None) -> AnswerRecord:
        """The receipt of an answer.

        Raises:
            NotFoundError: the tenant has no such answer.
        """
        with self._database.read() as session:
            return queries.answer(session, tenant, answer_id, labels)
