"""What workers do to documents: take them under a lease, report what came of them, remove deleted ones."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select

from pipelines.core.errors import StrataError
from pipelines.core.state import work
from pipelines.core.state.clock import Clock, utc_now
from pipelines.core.state.database import Database
from pipelines.core.state.records import Deletion, WorkItem
from pipelines.core.state.tables import DocumentRow


class Leases:
    """The leases that workers hold on documents. Safe to share between threads and processes.

    What a method wrote is durable when it returns. Every method may raise `StateUnavailableError`. Leases compare
    clocks: the machines that share a ledger must agree to within a few seconds.

    Args:
        max_attempts: Tries of a document before a retryable error ends it as failed.
    """

    def __init__(self, database: Database, *, max_attempts: int = 3, clock: Clock = utc_now) -> None:
        self._database, self._max_attempts, self._clock = database, max_attempts, clock

    # --- Indexing --------------------------------------------------------------------------------------------------

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

    def running(self) -> list[tuple[str, str]]:
        """Documents that workers hold, of all tenants, each with the fingerprint that is being prepared."""
        row = DocumentRow  # not by status: what was superseded and then submitted as before is queued, and held
        held = select(row.id, row.pending_version).where(row.lease_until.is_not(None))
        with self._database.read() as session:
            return [(document_id, version) for document_id, version in session.execute(held) if version is not None]

    # --- Deleting --------------------------------------------------------------------------------------------------

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
