"""What is seen of the document path: a trace a run, a span a document, figures of what became of each."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import Span

from indexing.stream import Indexed
from pipelines.core.errors import StrataError
from pipelines.core.state import WorkItem
from pipelines.core.tracing import Attribute, failed, note, open_span, span
from services.telemetry.metrics import Metrics


class IngestWatch:
    """Hears of each document as it begins and ends. Safe to share between threads.

    Args:
        metrics: Counts them; `None` where nobody asks.
    """

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._metrics = metrics
        self._open: dict[str, Span] = {}

    @contextmanager
    def run(self) -> Iterator[None]:
        """A run of the document path is a trace; what it leaves undone ends with it."""
        with span("ingest", kind="consumer"):
            try:
                yield
            finally:
                while self._open:
                    self._open.popitem()[1].end()

    def begun(self, item: WorkItem) -> None:
        """A document is handed out."""
        about: dict[str, Attribute] = {
            "strata.document_id": item.document_id,
            "strata.job_id": item.job_id,
            "strata.attempt": item.attempt,
            "strata.size_bytes": item.size_bytes,
        }
        self._open[item.token] = open_span("document", about)

    def indexed(self, item: WorkItem, outcome: Indexed) -> None:
        """Searches find it."""
        if self._metrics is not None:
            self._metrics.indexed(outcome.passages, item.size_bytes)
        if (current := self._open.pop(item.token, None)) is not None:
            note(current, {"strata.passages": outcome.passages, "strata.embedded": outcome.embedded})
            current.end()

    def failed(self, item: WorkItem, error: StrataError, *, again: bool) -> None:
        """It could not be indexed: for good, or until it is tried again."""
        if self._metrics is not None:
            self._metrics.not_indexed(again=again)
        if (current := self._open.pop(item.token, None)) is not None:
            failed(current, error)
            current.end()
