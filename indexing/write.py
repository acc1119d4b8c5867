"""Vectors → index: staged as they come, published when a document is complete."""

from collections import Counter
from dataclasses import dataclass

from haystack import component

from indexing.stream import EmbeddedBatch, Indexed, Observer, Outcome, Rejected, SplitEnd, Stream
from pipelines.core.errors import ConflictError, NotFoundError
from pipelines.core.store import DocumentVersion, Store


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
    def run(self, batches: Stream[EmbeddedBatch], observer: Observer) -> dict[str, IngestSummary]:
        """Drives the whole path: nothing upstream works before this asks for it."""
        counts: Counter[str] = Counter()
        embedded: Counter[str] = Counter()
        for batch in batches:
            self._store.write(batch.passages)
            embedded.update(batch.embedded)
            counts["embedded"] += len(batch.passages)
            for end in batch.ends:
                new = embedded.pop(end.submission.document_id, 0)
                outcome = self._publish(end, new) if isinstance(end, SplitEnd) else self._withdraw(end)
                counts["indexed" if isinstance(outcome, Indexed) else "failed"] += 1
                counts["passages"] += outcome.passages if isinstance(outcome, Indexed) else 0
                observer(outcome)
        return {"summary": IngestSummary(**counts)}

    def _publish(self, end: SplitEnd, embedded: int) -> Outcome:
        try:
            passages = self._store.publish(end.submission.key)
        except NotFoundError:  # somebody who took the lease over, or deletes the document, removed what was staged
            error = ConflictError("The document was replaced or deleted while it was indexed; submit it again.")
            return Rejected(end.submission, error)
        return Indexed(end.submission, end.title, end.text_key, passages, embedded)

    def _withdraw(self, rejected: Rejected) -> Rejected:
        """Removes what a failed version staged; the version that searches find, if any, stays."""
        document_id = rejected.submission.document_id
        if published := self._store.published(document_id):
            self._store.publish(DocumentVersion(document_id, published[0]))
        else:
            self._store.delete(document_id)
        return rejected
