"""One ingest from the command line: hand files in, work them off, tell what became of each."""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from indexing.identity import document_id
from pipelines.core.access import Labels
from pipelines.core.errors import StrataError
from pipelines.core.state import Document, DocumentStatus, ItemStatus, Job, JobItem, WorkItem
from pipelines.core.types import DEFAULT_TENANT, Scalar
from services.cli.progress import Progress, Waits, progress
from services.documents.intake import NewDocument

if TYPE_CHECKING:
    from indexing.stream import Outcome
    from services.runtime import Runtime

JOB_DOCUMENTS = 500
"""Documents accepted together: after an interruption, at most so many files are read again."""
POLL_S = 1.0

Metadata = Mapping[str, Scalar | tuple[Scalar, ...]]


@dataclass(frozen=True, slots=True)
class Failure:
    """A document that is not searchable, and why."""

    source: str
    code: str
    detail: str


@dataclass(slots=True)
class Report:
    """What became of the documents.

    Attributes:
        counts: Documents by `ItemStatus`.
        resumed: Documents that an earlier run had accepted and this one worked off; not in `counts`.
        passages: Passages of the documents that this run indexed.
        embedded: Those of them that were embedded in this run.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    resumed: int = 0
    passages: int = 0
    embedded: int = 0
    seconds: float = 0.0


class Batch:
    """Accepts files job by job, then works until each of them has ended."""

    def __init__(self, runtime: "Runtime", *, tenant: str = DEFAULT_TENANT, quiet: bool = False) -> None:
        self._runtime, self._tenant, self._quiet = runtime, tenant, quiet
        self._report = Report()
        self._started = time.monotonic()
        self._jobs: list[Job] = []
        self._ended: dict[str, tuple[str, StrataError | None]] = {}  # source and error, by document

    def accept(self, files: Sequence[Path], metadata: Metadata, labels: Labels = (), *, retry_failed: bool) -> None:
        """Hands files in. What is accepted stays accepted, whatever happens to this process.

        A file that failed before and has not changed since is not tried again, unless `retry_failed`.
        """
        failed = {} if retry_failed else self._failed_before()
        with progress("Reading", len(files), quiet=self._quiet) as shown:
            waiting: list[NewDocument] = []
            for path in files:
                source = path.as_uri()
                before = failed.get(document_id(self._tenant, source))
                if before is not None and self._same_bytes(path, before):
                    self._failed(source, before.error_code, f"{before.error_detail} (not tried again)")
                    self._report.counts[ItemStatus.FAILED] += 1
                else:
                    waiting.append(NewDocument(path, path.name, source, metadata, labels))
                if len(waiting) == JOB_DOCUMENTS:
                    self._hand_in(waiting)
                    waiting = []
                shown.advance()
            if waiting:
                self._hand_in(waiting)

    def follow(self, job_id: str) -> None:
        """Takes the documents of a job, which may still grow, for ones of its own."""
        self._jobs.append(self._runtime.ledger.progress.job(job_id, self._tenant))

    def retry_failed(self) -> int:
        """Queues every failed document again; returns how many."""
        return self._runtime.ledger.retry_failed(self._tenant)

    def waiting(self) -> int:
        """Documents that nobody has worked off yet, from this run or an earlier one."""
        counts = self._runtime.ledger.counts(self._tenant).documents
        return counts[DocumentStatus.QUEUED] + counts[DocumentStatus.RUNNING]

    def work(self) -> Report:
        """Works until all documents have ended, and tells what became of them.

        Raises:
            StrataError: the index or the state could not be used.
        """
        with progress("Indexing", self.waiting(), quiet=self._quiet) as shown:
            self._runtime.ingestion.work(lambda item, outcome: self._observe(item, outcome, shown))
            waits = Waits(quiet=self._quiet)
            while self.waiting():  # a try that failed waits before the next; another process may hold some
                for job in self._jobs[-1:]:
                    waits.tell(self._runtime.ledger.progress.job(job.id, self._tenant))
                time.sleep(POLL_S)
                self._runtime.ingestion.work(lambda item, outcome: self._observe(item, outcome, shown))
        self._runtime.sweeper.sweep(threading.Event())
        return self._finished()

    def _hand_in(self, documents: Sequence[NewDocument]) -> None:
        self._jobs.append(self._runtime.ingestion.accept(self._tenant, documents, strict=False))

    def _failed_before(self) -> dict[str, Document]:
        ledger, cursor = self._runtime.ledger, None
        found: dict[str, Document] = {}
        while True:
            page = ledger.documents(self._tenant, status=DocumentStatus.FAILED, limit=1000, cursor=cursor)
            found.update((document.id, document) for document in page.items)
            if (cursor := page.next_cursor) is None:
                return found

    def _same_bytes(self, path: Path, document: Document) -> bool:
        try:
            size = path.stat().st_size
            if size != document.size_bytes:
                return False
            if document.content_sha256 == f"size:{size}":  # it was too large to be read
                return size > self._runtime.settings.convert.max_file_bytes
            with path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest() == document.content_sha256
        except OSError:
            return False

    def _observe(self, item: WorkItem, outcome: "Outcome | StrataError", shown: Progress) -> None:
        error = outcome if isinstance(outcome, StrataError) else getattr(outcome, "error", None)
        self._ended[item.document_id] = (item.source, error)
        if error is not None and error.retryable and item.attempt < self._runtime.settings.ingest.max_attempts:
            return  # it will be tried again
        passages = getattr(outcome, "passages", 0)
        self._report.passages += passages
        self._report.embedded += getattr(outcome, "embedded", 0)
        shown.advance(passages)

    def _failed(self, source: str, code: str | None, detail: str | None) -> None:
        self._report.failures.append(Failure(source, code or "internal_error", detail or "No reason was recorded."))

    def _finished(self) -> Report:
        report, mine = self._report, set()
        for item in self._items():
            mine.add(item.document_id)
            report.counts[item.status] += 1
            if item.status == ItemStatus.FAILED:
                self._failed(item.source, item.error_code, item.error_detail)
        others = [ended for key, ended in self._ended.items() if key not in mine]
        report.resumed = len(others)
        for source, error in others:
            if error is not None:
                self._failed(source, error.code, error.detail)
        report.seconds = time.monotonic() - self._started
        return report

    def _items(self) -> Iterator[JobItem]:
        for job in self._jobs:
            after = -1
            while items := self._runtime.ledger.progress.items(job.id, self._tenant, after=after):
                yield from items
                after = items[-1].ordinal
