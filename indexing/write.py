"""Vectors → index: staged as they come, published when a document is complete."""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass

from haystack import component

from indexing.stream import EmbeddedBatch, Indexed, Observer, Outcome, Rejected, SplitEnd, Stream, Wanted
from pipelines.core.errors import DocumentReplacedError, NotFoundError
from pipelines.core.store import Store
from pipelines.core.tracing import span


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """Counts of one run of the document path."""

    indexed: int = 0
    failed: int = 0
    passages: int = 0
    embedded: int = 0


@component
class PassageWriter:
    """Writes batches and publishes documents, telling the observer of each. Idempotent."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @component.output_types(summary=IngestSummary)
    def run(
        self, batches: Stream[EmbeddedBatch], observer: Observer, wanted: Wanted | None = None
    ) -> dict[str, IngestSummary]:
        """Drives the whole path: nothing upstream works before this asks for it. Without `wanted` all are."""
        with closing(batches):  # whatever happens, nothing upstream goes on working afterwards
            return {"summary": self._run(batches, observer, wanted)}

    def _run(self, batches: Stream[EmbeddedBatch], observer: Observer, wanted: Wanted | None) -> IngestSummary:
        counts: Counter[str] = Counter()
        embedded: Counter[str] = Counter()
        for batch in batches:
            with span("write", {"strata.passages": len(batch.passages)}):
                self._store.write(batch.passages)
            embedded.update(batch.embedded)
            counts["embedded"] += len(batch.passages)
            held = wanted([end.submission for end in batch.ends]) if wanted and batch.ends else None
            for end in batch.ends:
                new = embedded.pop(end.submission.document_id, 0)
                if held is not None and end.submission.document_id not in held:
                    continue
                outcome = self._publish(end, new) if isinstance(end, SplitEnd) else self._withdraw(end)
                counts["indexed" if isinstance(outcome, Indexed) else "failed"] += 1
                counts["passages"] += outcome.passages if isinstance(outcome, Indexed) else 0
                observer(outcome)
        return IngestSummary(**counts)

    def _publish(self, end: SplitEnd, embedded: int) -> Outcome:
        try:
            passages = self._store.publish(end.submission.key, end.passages)
        except NotFoundError:  # somebody who had this version before, or deletes the document, removed what was staged
            return Rejected(end.submission, DocumentReplacedError())
        return Indexed(end.submission, end.title, end.text_key, passages, embedded)

    def _withdraw(self, rejected: Rejected) -> Rejected:
        """Removes what a failed version staged, unless another try may use it. What searches find stays."""
        if not rejected.error.retryable:
            self._store.discard(rejected.submission.key)
        return rejected
