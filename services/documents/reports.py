"""What the document path says of a shift's documents, told to the ledger: they ended, or may not be published."""

import logging
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence

from indexing.identity import text_name
from indexing.stream import Indexed, Outcome
from indexing.stream import Submission as PipelineSubmission
from pipelines.core.blobs import BlobStore
from pipelines.core.errors import NotFoundError, StrataError, UnforeseenDocumentError
from pipelines.core.state import DocumentStatus, Ledger, WorkItem
from services.documents.fence import Fence
from services.documents.leftovers import TEXTS, drop
from services.documents.shift import Shift
from services.documents.watch import IngestWatch

logger = logging.getLogger(__name__)

Observer = Callable[[WorkItem, Outcome | StrataError], None]
"""Hears of each document that ended, and of each try that failed."""


class Reports:
    """Reports on the documents of one shift, whatever run of the document path they were in.

    Attributes:
        build: The collection that the run at hand publishes into; to be named before it begins.
        ended: Documents that came out of a run, indexed or failed.
    """

    def __init__(
        self,
        shift: Shift,
        *,
        ledger: Ledger,
        blobs: BlobStore,
        fence: Fence,
        watch: IngestWatch,
        observer: Observer,
        stop: threading.Event,
    ) -> None:
        self._shift, self._ledger, self._blobs, self._fence = shift, ledger, blobs, fence
        self._watch, self._observer, self._stop = watch, observer, stop
        self.build = ""
        self.ended = 0

    def end(self, outcome: Outcome) -> None:
        """Records what came of a document. See `indexing.stream.Observer`."""
        # Off the shift only once the ledger knows: what an interrupt falls upon before that is given back.
        item = self._shift.held(outcome.submission.document_id)
        if item is None:
            return  # its lease was lost and taken again by this worker: the other try has ended it
        if isinstance(outcome, Indexed):
            self._indexed(item, outcome)
        elif self._stop.is_set():
            # A stopping process closes what documents are read with, which looks like a fault of theirs.
            self._give_back(item)
            return
        else:
            self._failed(item, outcome.error)
        self._shift.end(item.document_id)
        self.ended += 1
        self._observer(item, outcome)

    def _indexed(self, item: WorkItem, outcome: Indexed) -> None:
        recorded = self._ledger.leases.finish(
            item, passages=outcome.passages, title=outcome.title, text_key=outcome.text_key, build=self.build
        )
        self._drop(item.replaces if recorded else (outcome.text_key,) if self._deleted(item) else ())
        if recorded:
            self._watch.indexed(item, outcome)

    def wanted(self, submissions: Sequence[PipelineSubmission]) -> frozenset[str]:
        """Which of the documents may be published; the others are given back. See `indexing.stream.Wanted`."""
        items = [item for each in submissions if (item := self._shift.held(each.document_id))]
        tokens = self._fence.wanted(items, build=self.build, stop=self._stop)
        for item in items:
            if item.token not in tokens:
                self._give_back(item)
                self._drop((TEXTS + text_name(item.document_id, item.fingerprint),) if self._deleted(item) else ())
        return frozenset(item.document_id for item in items if item.token in tokens)

    def refused(self, item: WorkItem, error: StrataError) -> None:
        """Records that a document cannot be read: it does not come into a run."""
        self._shift.end(item.document_id)
        self._failed(item, error)
        self._observer(item, error)

    def fell(self, error: Exception) -> None:
        """Counts a try of every document that was in a run that fell: one of them may be why."""
        where = "".join(traceback.format_tb(error.__traceback__))  # its message may quote a document
        logger.error("a run of the document path fell: %s\n%s", type(error).__name__, where)
        for item in self._shift.end_all():
            failure = UnforeseenDocumentError()
            self._failed(item, failure)
            self._observer(item, failure)

    def _failed(self, item: WorkItem, error: StrataError) -> None:
        self._watch.failed(item, error, again=self._ledger.leases.fail(item, error))

    def _give_back(self, item: WorkItem) -> None:
        self._shift.end(item.document_id)
        self._ledger.leases.release(item)

    def _deleted(self, item: WorkItem) -> bool:
        try:
            return self._ledger.document(item.document_id, item.tenant).status is DocumentStatus.DELETING
        except NotFoundError:
            return True

    def _drop(self, keys: Iterable[str]) -> None:
        drop(self._ledger, self._blobs, keys, texts_at_once=True)
