"""Batch ingestion: what is accepted is in ledger and blob store; workers take it from there until none is left."""

import logging
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

from opentelemetry.trace import get_current_span

from indexing.identity import text_name
from indexing.stream import Indexed, Outcome, Wanted
from indexing.stream import Submission as PipelineSubmission
from pipelines.core.access import Labels
from pipelines.core.blobs import BlobStore
from pipelines.core.errors import (
    MalformedDocumentError,
    NotFoundError,
    StateUnavailableError,
    StrataError,
    UnforeseenDocumentError,
)
from pipelines.core.settings import Settings
from pipelines.core.state import DocumentStatus, Job, Ledger, Once, Submission, WorkItem, digest, owner_id
from pipelines.core.store import Store
from pipelines.core.tracing import note
from services.documents.fence import Fence
from services.documents.intake import Intake, NewDocument, refusal
from services.documents.shift import CLAIM, Shift
from services.documents.submission import submission
from services.documents.sweep import DROP, TEXTS, UNUSED_S, unneeded
from services.documents.watch import IngestWatch

logger = logging.getLogger(__name__)

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
        observer: Callable[[WorkItem, Outcome | StrataError], None] = lambda *_: None,
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
        build = ""
        shift = Shift(self._ledger.leases, stop, self._settings.ingest.lease_s, self._owed)
        ended = 0

        def end(outcome: Outcome) -> None:
            nonlocal ended
            # Off the shift only once the ledger knows: what an interrupt falls upon before that is given back.
            item = shift.held(outcome.submission.document_id)
            if item is None:
                return  # its lease was lost and taken again by this worker: the other try has ended it
            if isinstance(outcome, Indexed):
                recorded = self._ledger.leases.finish(
                    item, passages=outcome.passages, title=outcome.title, text_key=outcome.text_key, build=build
                )
                self._drop(item.replaces if recorded else (outcome.text_key,) if self._deleted(item) else ())
                if recorded:
                    self._watch.indexed(item, outcome)
            elif stop.is_set():
                # A stopping process closes what documents are read with, which looks like a fault of theirs.
                shift.end(item.document_id)
                self._ledger.leases.release(item)
                return
            else:
                self._failed(item, outcome.error)
            shift.end(item.document_id)
            ended += 1
            observer(item, outcome)

        def wanted(submissions: Sequence[PipelineSubmission]) -> frozenset[str]:
            items = [item for each in submissions if (item := shift.held(each.document_id))]
            tokens = self._fence.wanted(items, build=build, stop=stop)
            for item in items:
                if item.token not in tokens:
                    shift.end(item.document_id)
                    self._ledger.leases.release(item)
                    self._drop((TEXTS + text_name(item.document_id, item.fingerprint),) if self._deleted(item) else ())
            return frozenset(item.document_id for item in items if item.token in tokens)

        with shift.keep_leases():
            # Again and again: a document may have been submitted anew while it was worked on, or deleted.
            crashed_at = None
            while (first := next(items := shift.batch(), None)) or self.delete_marked():
                if first is None:
                    continue
                try:
                    build = self._fence.build()
                    with self._watch.run():
                        self._run(self._submissions(first, items, shift, observer), end, wanted)
                except (StrataError, OSError):
                    raise
                except Exception as error:
                    self._charge(error, shift, observer)
                    if crashed_at == ended:
                        raise  # the second in a row: the fault is not one document's
                    crashed_at = ended
        return ended

    def _charge(
        self, error: Exception, shift: Shift, observer: Callable[[WorkItem, Outcome | StrataError], None]
    ) -> None:
        """Counts a try of every document that was in a run that fell: one of them may be why."""
        where = "".join(traceback.format_tb(error.__traceback__))  # its message may quote a document
        logger.error("a run of the document path fell: %s\n%s", type(error).__name__, where)
        for item in shift.end_all():
            failure = UnforeseenDocumentError()
            self._failed(item, failure)
            observer(item, failure)

    def _failed(self, item: WorkItem, error: StrataError) -> None:
        self._watch.failed(item, error, again=self._ledger.leases.fail(item, error))

    def _submissions(
        self,
        first: WorkItem,
        items: Iterator[WorkItem],
        shift: Shift,
        observer: Callable[[WorkItem, Outcome | StrataError], None],
    ) -> Iterator[PipelineSubmission]:
        item: WorkItem | None = first
        while item is not None:
            if error := self._unreadable(item):
                shift.end(item.document_id)
                self._failed(item, error)
                observer(item, error)
            else:
                self._watch.begun(item)
                yield submission(item, item.document_id, item.fingerprint)
            item = next(items, None)

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
                        self._drop(done.keys)
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

    def _deleted(self, item: WorkItem) -> bool:
        try:
            return self._ledger.document(item.document_id, item.tenant).status is DocumentStatus.DELETING
        except NotFoundError:
            return True

    def _drop(self, keys: Iterable[str]) -> None:
        """Removes blobs that nothing needs, except new files: somebody may be about to submit them."""
        rest = iter(keys)
        while some := list(islice(rest, DROP)):
            for key in unneeded(self._ledger, some):
                self._blobs.delete(key, unused_for_s=0.0 if key.startswith(TEXTS) else UNUSED_S)


def _handed_in(submission: Submission) -> list[object]:
    """What the caller said of a document: not what this Strata makes of it, which may change between two tries."""
    metadata = {name: list(value) if isinstance(value, tuple) else value for name, value in submission.metadata.items()}
    return [submission.source, submission.name, submission.content_sha256, metadata, list(submission.labels)]
