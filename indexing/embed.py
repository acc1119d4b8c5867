"""Passages → vectors, in batches that cross documents."""

from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context

from haystack import component

from indexing.stream import EmbeddedBatch, Rejected, SplitEnd, SplitItem, SplitPassage, Stream
from pipelines.core.encoders import Encoder
from pipelines.core.store import DocumentVersion, EmbeddedPassage, Store
from pipelines.core.tracing import span

AHEAD = 2
"""Batches that are embedded at the same time: the second fills the passes that the end of the first leaves empty."""
FIRST_BATCH = 96
"""Passages of a run's first batch; each is twice as large as the one before, so that the encoder starts early. Of fewer
the encoder makes little: 32 took 3 % longer over 1,200 passages."""


@component
class PassageEmbedder:
    """Embeds passages, several documents' together, except those that the index holds from an interrupted try.

    Args:
        batch_passages: Most passages of a batch; memory and the work lost on a crash are bounded by three of them.
    """

    def __init__(self, encoder: Encoder, store: Store, batch_passages: int) -> None:
        self._encoder, self._store, self._batch_passages = encoder, store, batch_passages

    @component.output_types(batches=Stream[EmbeddedBatch])
    def run(self, items: Stream[SplitItem]) -> dict[str, Stream[EmbeddedBatch]]:
        """Yields batches as they fill; the last one may be short."""
        return {"batches": Stream(self._batches(items))}

    def _batches(self, items: Stream[SplitItem]) -> Iterator[EmbeddedBatch]:
        """While two batches are embedded, the next is split and the last one written."""
        waiting: deque[Future[EmbeddedBatch]] = deque()
        ahead = ThreadPoolExecutor(AHEAD, "strata-embed")
        try:
            for pending, ends in self._filled(items):
                waiting.append(ahead.submit(copy_context().run, self._embed, pending, ends))
                if len(waiting) == AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            ahead.shutdown(cancel_futures=True)

    def _filled(self, items: Stream[SplitItem]) -> Iterator[tuple[list[SplitPassage], list[SplitEnd | Rejected]]]:
        pending: list[SplitPassage] = []
        ends: list[SplitEnd | Rejected] = []
        full = min(FIRST_BATCH, self._batch_passages)
        written: tuple[DocumentVersion | None, frozenset[str]] = (None, frozenset())
        for item in items:
            if isinstance(item, SplitPassage):
                if written[0] != item.submission.key:
                    written = (item.submission.key, self._store.written(item.submission.key))
                if item.passage.id not in written[1]:
                    pending.append(item)
            else:
                ends.append(item)
            # Documents without new passages must not wait for a batch to fill either.
            if len(pending) >= full or len(ends) >= full:
                yield pending, ends
                pending, ends = [], []
                full = min(2 * full, self._batch_passages)
        if pending or ends:
            yield pending, ends

    def _embed(self, pending: list[SplitPassage], ends: list[SplitEnd | Rejected]) -> EmbeddedBatch:
        texts = [f"{item.passage.context}\n{item.passage.text}" for item in pending]
        with span("embed", {"strata.passages": len(texts)}):
            vectors = self._encoder.embed(texts).vectors
        passages = [
            EmbeddedPassage(item.passage, vector, item.submission.tenant)
            for item, vector in zip(pending, vectors, strict=True)
        ]
        return EmbeddedBatch(passages, ends, dict(Counter(item.submission.document_id for item in pending)))
