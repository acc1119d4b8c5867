"""The ledger: the record of what was accepted and what became of it. What callers do is here; its parts do the rest."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Self

from sqlalchemy import URL, Engine
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pipelines.core.access import Labels
from pipelines.core.errors import ConflictError
from pipelines.core.state import jobs, queries, submit
from pipelines.core.state.clock import Clock, utc_now
from pipelines.core.state.database import Database, sqlite_url
from pipelines.core.state.leases import Leases
from pipelines.core.state.progress import Progress
from pipelines.core.state.receipts import Receipts
from pipelines.core.state.records import (
    Counts,
    Document,
    DocumentStatus,
    Job,
    Once,
    Page,
    Submission,
)
from pipelines.core.state.reindexes import Reindexes


class Ledger:
    """Documents, jobs and receipts in a SQL database. Safe to share between threads and processes.

    What a method wrote is durable when it returns. Every method may raise `StateUnavailableError`; building one also
    `ConfigurationError`. Methods that take `labels` show the reader, who holds these, only what such a reader sees, and
    find nothing else; `None` shows all of the tenant. See `pipelines.core.access`.

    Args:
        address: SQLAlchemy address or engine, the path of a SQLite file, or an open database to share with other parts.
            The schema is upgraded when it is old.
        max_attempts: Tries of a document before a retryable error ends it as failed.

    Attributes:
        leases: What workers take, and report.
        progress: How far jobs are.
        reindexes: Which collections a reindex replaces, or has replaced.
        receipts: What answers took.
    """

    def __init__(
        self, address: str | URL | Path | Engine | Database, *, max_attempts: int = 3, clock: Clock = utc_now
    ) -> None:
        if isinstance(address, Path):
            address = sqlite_url(address)
        self._database = address if isinstance(address, Database) else Database(address)
        self._clock = clock
        self.leases = Leases(self._database, max_attempts=max_attempts, clock=clock)
        self.progress = Progress(self._database, clock)
        self.reindexes = Reindexes(self._database, clock)
        self.receipts = Receipts(self._database, clock)

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
        return replace(self.progress.job(job_id, tenant), replayed=replayed)

    def delete_document(self, document_id: str, tenant: str, *, labels: Labels | None = None) -> Document:
        """Marks a document for deletion in any state; a worker that holds it can no longer bring it back. Idempotent.

        It is gone when `Leases.claim_deletions` handed it out and `Leases.purge` was called.

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

        A running worker learns of it from `Leases.extend`. If it publishes before that, the document is `indexed` all
        the same. A document that was never indexed ends `failed` with the code `cancelled`. A large job is cancelled
        part by part; where that is broken off, cancel it again.

        Raises:
            NotFoundError: the tenant has no such job.
        """
        after: int | None = -1
        while after is not None:
            with self._database.write() as session:
                after = submit.cancel(session, tenant, job_id, self._clock(), labels, after=after)
        return self.progress.job(job_id, tenant)

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

    def queued(self) -> int:
        """Documents that wait, of all tenants."""
        with self._database.read() as session:
            return queries.queued(session)

    def counts(self, tenant: str | None = None) -> Counts:
        """Figures for metrics and `/readyz`, over all tenants by default."""
        with self._database.read() as session:
            return queries.counts(session, tenant, self._clock())

    def unreferenced(self, keys: Sequence[str]) -> list[str]:
        """Those blob and text keys that nothing in the ledger needs any more."""
        with self._database.read() as session:
            return queries.unreferenced(session, keys)
