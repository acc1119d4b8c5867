"""Batch ingestion: what is accepted is in ledger and blob store; workers take it from there until none is left."""

import logging
import stat
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import BinaryIO

from indexing.identity import document_id, document_version
from indexing.stream import Indexed, Outcome
from indexing.stream import Submission as PipelineSubmission
from pipelines.core.access import Labels
from pipelines.core.blobs import BlobStore
from pipelines.core.errors import (
    DocumentTooLargeError,
    MalformedDocumentError,
    NotFoundError,
    RequestTooLargeError,
    StrataError,
    UnforeseenDocumentError,
)
from pipelines.core.settings import Settings
from pipelines.core.state import DocumentStatus, Job, Ledger, Submission, WorkItem, owner_id
from pipelines.core.store import Store
from pipelines.core.types import Scalar
from services.shift import CLAIM, LEASE_S, Shift

UNUSED_S = 3600.0
DROP = 500
TITLE_KEY = "title"
TEXTS = "text/"
CHUNK = 1024 * 1024

logger = logging.getLogger(__name__)

RunPipeline = Callable[[Iterable[PipelineSubmission], Callable[[Outcome], None]], object]


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document that a caller hands in.

    Attributes:
        content: Its bytes: a path, or an open stream that is read once.
        source: Names it within its tenant; submitting the same source again replaces the document.
        metadata: Fields to filter by; `title` is shown instead of the document's own.
        labels: Access labels; see `pipelines.core.access`.
    """

    content: Path | BinaryIO
    name: str
    source: str
    metadata: Mapping[str, Scalar | tuple[Scalar, ...]] = field(default_factory=dict)
    labels: Labels = ()


class Ingestion:
    """Accepts documents and works them off.

    Args:
        store: Opens the index; called when there is work, not before.
        run: Builds and runs the document path; likewise.
        fingerprint: Of the encoder.
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
    ) -> None:
        self._settings, self._ledger, self._blobs = settings, ledger, blobs
        self._store, self._run, self._fingerprint = store, run, fingerprint
        self._recovering = threading.Lock()
        self._recovered = False

    def accept(self, tenant: str, documents: Iterable[NewDocument], *, labels: Labels | None = None) -> Job:
        """Stores the bytes, then records the batch, all of it or nothing.

        A file that is too large or cannot be read is accepted as well: it ends as failed, with the reason, and the
        others go on.

        Args:
            labels: Access labels of whoever submits; `None`: every one.
        """
        submissions = [self._submission(tenant, document) for document in documents]
        return self._ledger.accept(tenant, submissions, labels=labels)

    def _submission(self, tenant: str, document: NewDocument) -> Submission:
        sha256, size, key = self._keep(document.content)
        metadata = dict(document.metadata)
        return Submission(
            document_id=document_id(tenant, document.source),
            source=document.source,
            name=document.name,
            content_sha256=sha256,
            size_bytes=size,
            format=PurePath(document.name).suffix.lstrip(".").lower(),
            blob_key=key,
            fingerprint=document_version(
                sha256,
                document.name,
                metadata,
                split=self._settings.split,
                encoder=self._fingerprint,
                labels=document.labels,
            ),
            metadata=metadata,
            labels=document.labels,
        )

    def _keep(self, content: Path | BinaryIO) -> tuple[str, int, str]:
        """Stores bytes: their hash, size and key. The key is empty where they could not be stored."""
        limit = self._settings.convert.max_file_bytes
        size = 0
        try:
            if isinstance(content, Path):
                size = _regular_size(content)
                if size > limit:
                    return f"size:{size}", size, ""
            blob = self._blobs.put(_chunks(content), max_bytes=limit)
        except RequestTooLargeError:
            return f"size:{limit + 1}", limit + 1, ""
        except _UnreadableError as error:
            return f"unreadable:{error}", size, ""
        return blob.sha256, blob.size_bytes, blob.key

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
        shift = Shift(self._ledger, stop)
        ended = 0

        def end(outcome: Outcome) -> None:
            nonlocal ended
            # Off the shift only once the ledger knows: what an interrupt falls upon before that is given back.
            item = shift.held(outcome.submission.document_id)
            if item is None:
                return  # its lease was lost and taken again by this worker: the other try has ended it
            if isinstance(outcome, Indexed):
                recorded = self._ledger.finish(
                    item, passages=outcome.passages, title=outcome.title, text_key=outcome.text_key
                )
                self._drop(item.replaces if recorded else (outcome.text_key,) if self._deleted(item) else ())
            elif stop.is_set():
                # A stopping process closes what documents are read with, which looks like a fault of theirs.
                shift.end(item.document_id)
                self._ledger.release(item)
                return
            else:
                self._ledger.fail(item, outcome.error)
            shift.end(item.document_id)
            ended += 1
            observer(item, outcome)

        with shift.keep_leases():
            # Again and again: a document may have been submitted anew while it was worked on, or deleted.
            crashed_at = None
            while (first := next(items := shift.batch(), None)) or self.delete_marked():
                if first is None:
                    continue
                try:
                    self._run(self._submissions(first, items, shift, observer), end)
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
            self._ledger.fail(item, failure)
            observer(item, failure)

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
                self._ledger.fail(item, error)
                observer(item, error)
            else:
                title = item.metadata.get(TITLE_KEY)
                yield PipelineSubmission(
                    document_id=item.document_id,
                    tenant=item.tenant,
                    source=item.source,
                    version=item.fingerprint,
                    blob_key=item.blob_key,
                    name=item.name,
                    title=str(title) if title else None,
                    metadata={key: value for key, value in item.metadata.items() if key != TITLE_KEY},
                    labels=item.labels,
                )
            item = next(items, None)

    def _unreadable(self, item: WorkItem) -> StrataError | None:
        limit = self._settings.convert.max_file_bytes
        if item.size_bytes > limit:
            return DocumentTooLargeError(f"The file has {item.size_bytes:,} bytes; the limit is {limit:,}.")
        if not item.blob_key or not self._blobs.exists(item.blob_key):
            return MalformedDocumentError("The file could not be read from disk; check its permissions and try again.")
        return None

    def turn(self, stop: threading.Event) -> bool:
        """One turn; see `services.work.Work`. Raises as `work` does."""
        self.work(stop=stop)
        return self._ledger.counts().documents[DocumentStatus.QUEUED] > 0

    def delete_marked(self) -> int:
        """Removes documents that are marked for deletion and held by nobody; returns how many."""
        deleted = 0
        while deletions := self._ledger.claim_deletions(CLAIM, owner_id(), LEASE_S):
            for deletion in deletions:
                self._store().delete(deletion.document_id)
                if self._ledger.purge(deletion):
                    deleted += 1
                    self._drop(deletion.keys)
        return deleted

    def _recover(self) -> None:
        """Once a process, when there is work: frees what a killed process held and removes what it left unfinished."""
        with self._recovering:
            documents = self._ledger.counts().documents
            if self._recovered or not documents[DocumentStatus.QUEUED] + documents[DocumentStatus.RUNNING]:
                return
            self._store()
            if self._settings.index.mode == "embedded":
                self._ledger.reclaim(everyone=True)  # the index's lock is ours, so nobody else is at work
            self._blobs.remove_partial()
            self._drop(list(self._blobs.keys(unused_for_s=UNUSED_S)))
            self._recovered = True

    def _deleted(self, item: WorkItem) -> bool:
        try:
            return self._ledger.document(item.document_id, item.tenant).status is DocumentStatus.DELETING
        except NotFoundError:
            return True

    def _drop(self, keys: Sequence[str]) -> None:
        """Removes blobs that nothing needs, except new files: somebody may be about to submit them."""
        for first in range(0, len(keys), DROP):
            for key in self._ledger.unreferenced(keys[first : first + DROP]):
                self._blobs.delete(key, unused_for_s=0.0 if key.startswith(TEXTS) else UNUSED_S)


class _UnreadableError(Exception):
    """A submitted file cannot be read: a fault of its own, not of the disk that keeps the blobs."""


def _regular_size(path: Path) -> int:
    try:
        status = path.stat()
    except OSError as error:
        raise _UnreadableError(error.errno) from error
    if not stat.S_ISREG(status.st_mode):  # opening a pipe waits, a device never ends
        raise _UnreadableError("no file")
    return status.st_size


def _chunks(content: Path | BinaryIO) -> Iterator[bytes]:
    try:
        with content.open("rb") if isinstance(content, Path) else nullcontext(content) as stream:
            while chunk := stream.read(CHUNK):
                yield chunk
    except OSError as error:
        raise _UnreadableError(error.errno) from error
