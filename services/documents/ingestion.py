"""Batch ingestion: what is accepted is in ledger and blob store; workers take it from there until none is left."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain

from opentelemetry.trace import get_current_span

from indexing.stream import Outcome, Wanted
from indexing.stream import Submission as PipelineSubmission
from pipelines.core.access import Labels
from pipelines.core.blobs import BlobStore
from pipelines.core.errors import (
    MalformedDocumentError,
    StateUnavailableError,
    StrataError,
)
from pipelines.core.settings import Settings
from pipelines.core.state import Job, Ledger, Once, Submission, WorkItem, digest, owner_id
from pipelines.core.store import Store
from pipelines.core.tracing import note
from services.documents.fence import Fence
from services.documents.intake import Intake, NewDocument, refusal
from services.documents.leftovers import drop
from services.documents.reports import Observer, Reports
from services.documents.shift import CLAIM, Shift
from services.documents.submission import submission
from services.documents.watch import IngestWatch

RunPipeline = Callable[[Iterable[PipelineSubmission], Callable[[Outcome], None], Wanted], object]


class Ingestion:
    """Accepts documents and works them off.

    Args:
        store: Opens the index; called when there is work, not before.
        run: Builds and runs the document path; likewise.
        fingerprint: Of the encoder.
        watch: Hears of each document.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        ledger: Ledger,
        blobs: BlobStore,
        store: Callable[[], Store],
        run: RunPipeline,
        fingerprint: str,
        watch: IngestWatch | None = None,
    ) -> None:
        self._settings, self._ledger, self._blobs = settings, ledger, blobs
        self._watch = watch or IngestWatch()
        self._store, self._run = store, run
        self._intake = Intake(settings, blobs, fingerprint)
        self._fence = Fence(ledger, store, settings.ingest.lease_s)
        self._recovering = threading.Lock()
        self._recovered = False
        self._owed: list[WorkItem] = []

    def accept(
        self,
        tenant: str,
        documents: Iterable[NewDocument],
        *,
        labels: Labels | None = None,
        strict: bool = True,
        key: str | None = None,
    ) -> Job:
        """Stores the bytes, then records the batch, all of it or nothing. Archives are accepted as their members.

        A file that is too large or cannot be read is accepted as well: it ends as failed, with the reason, and the
        others go on.

        Args:
            labels: Access labels of whoever submits; `None`: every one.
            strict: See `Intake.submissions`, also for what it raises.
            key: Names the submission: with the same one, the same documents give the same job back.

        Raises:
            RepeatedKeyError: the key was used for other documents.
        """
        submissions = list(self._intake.submissions(tenant, documents, strict=strict))
        once = None if key is None else Once(key, digest(map(_handed_in, submissions)))
        job = self._ledger.accept(tenant, submissions, labels=labels, once=once)
        note(get_current_span(), {"strata.job_id": job.id, "strata.documents": job.total})
        return job

    def work(
        self,
        observer: Observer = lambda *_: None,
        *,
        stop: threading.Event | None = None,
    ) -> int:
        """Works until nothing is queued, and returns how many documents ended. Interrupted work is given back.

        Args:
            stop: Once set, no further document is begun; those begun are finished, or given back where they fail.

        A document that takes the whole run down in an unforeseen way costs those in the run a try, and each is tried
        again alone: so the one to blame ends as failed, and the others go on.

        Raises:
            StrataError: the index or the state could not be used.
            OSError: the disk could not be used.
            Exception: run after run fails in an unforeseen way.
        """
        self._recover()
        self.delete_marked()
        stop = stop or threading.Event()
        shift = Shift(self._ledger.leases, stop, self._settings.ingest.lease_s, self._owed)
        reports = Reports(
            shift,
            ledger=self._ledger,
            blobs=self._blobs,
            fence=self._fence,
            watch=self._watch,
            observer=observer,
            stop=stop,
        )
        with shift.keep_leases():
            # Again and again: a document may have been submitted anew while it was worked on, or deleted.
            crashed_at = None
            while (first := next(items := shift.batch(), None)) or self.delete_marked():
                if first is None:
                    continue
                try:
                    reports.build = self._fence.build()
                    with self._watch.run():
                        self._run(self._submissions(first, items, reports), reports.end, reports.wanted)
                except (StrataError, OSError):
                    raise
                except Exception as error:
                    reports.fell(error)
                    if crashed_at == reports.ended:
                        raise  # the second in a row: the fault is not one document's
                    crashed_at = reports.ended
        return reports.ended

    def _submissions(
        self, first: WorkItem, items: Iterator[WorkItem], reports: Reports
    ) -> Iterator[PipelineSubmission]:
        for item in chain([first], items):
            if error := self._unreadable(item):
                reports.refused(item, error)
            else:
                self._watch.begun(item)
                yield submission(item, item.document_id, item.fingerprint)

    def _unreadable(self, item: WorkItem) -> StrataError | None:
        if error := refusal(item, self._settings):
            return error
        if not self._blobs.exists(item.blob_key):
            return MalformedDocumentError("The stored file is gone; submit it again.")
        return None

    def turn(self, stop: threading.Event) -> bool:
        """One turn; see `services.work.Work`. Raises as `work` does."""
        self.work(stop=stop)
        return self._ledger.leases.next_due_s() is not None

    def delete_marked(self) -> int:
        """Removes documents that are marked for deletion and held by nobody; returns how many."""
        deleted = 0
        while deletions := self._ledger.leases.claim_deletions(CLAIM, owner_id(), self._settings.ingest.lease_s):
            left = list(deletions)
            try:
                while left:
                    build = self._fence.build()
                    self._store().delete(left[0].document_id)
                    purged, done = self._ledger.leases.purge(left[0], build=build), left.pop(0)
                    if purged:
                        deleted += 1
                        drop(self._ledger, self._blobs, done.keys, texts_at_once=True)
            finally:
                for deletion in left:  # the index is away: whoever finds it back takes them
                    with suppress(StateUnavailableError):
                        self._ledger.leases.release_deletion(deletion)
        return deleted

    def _recover(self) -> None:
        """Once a process, when there is work: frees what a killed process held."""
        with self._recovering:
            if self._recovered or not (self._ledger.queued() or self._ledger.leases.running()):
                return
            self._store()
            if self._settings.index.mode == "embedded":
                self._ledger.leases.reclaim(everyone=True)  # the index's lock is ours, so nobody else is at work
            self._recovered = True


def _handed_in(submission: Submission) -> list[object]:
    """What the caller said of a document: not what this Strata makes of it, which may change between two tries."""
    metadata = {name: list(value) if isinstance(value, tuple) else value for name, value in submission.metadata.items()}
    return [submission.source, submission.name, submission.content_sha256, metadata, list(submission.labels)]
