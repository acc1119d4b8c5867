"""Filling a shadow with every document of the index, while that goes on changing."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from indexing.stream import Indexed, Outcome, Submission
from pipelines.core.errors import ConflictError, DocumentError, StrataError
from pipelines.core.state import Document, Reindexed, Reindexes, Reindexing
from pipelines.core.store import Store
from services.documents.submission import submission

if TYPE_CHECKING:
    from haystack import Pipeline

FEW = 32
"""Outstanding documents at which publishing is held. They are prepared while it is."""
PATIENCE = 8
"""Rounds after which it is held however many there are: others bring documents faster than they are prepared here."""
HOLD_S = 30.0
"""Longest time for which publishing is held at once; then it goes on, and so do the rounds."""
PAGE = 100
NAMED = 10
"""Documents that an error names."""

Tell = Callable[[int, int], None]
"""Hears of each document as it ends: its passages, and how many documents are known of, ended ones included."""


class DocumentsUnreadableError(DocumentError):
    """Documents of the index cannot be prepared anew. The live index is untouched."""

    code = "reindex_failed"


@dataclass
class Done:
    """What was put into the shadow."""

    documents: int = 0
    passages: int = 0
    embedded: int = 0


class Filling:
    """Fills a shadow and hands the documents over to it.

    Args:
        version: Names a document as the new configuration prepares it.
        lost: Set when another reindex has taken over.
    """

    def __init__(
        self,
        book: Reindexes,
        run: Reindexing,
        shadow: Store,
        *,
        pipeline: "Pipeline",
        version: Callable[[Document], str],
        tell: Tell,
        lost: threading.Event,
    ) -> None:
        self._book, self._run, self._shadow = book, run, shadow
        self._pipeline, self._version, self._tell, self._lost = pipeline, version, tell, lost
        self._failures: dict[tuple[str, str | None], tuple[str, StrataError]] = {}
        self._known = 0
        self.done = Done()

    def fill(self) -> None:
        """Takes rounds until the shadow holds every document and has them.

        Raises:
            DocumentsUnreadableError: the same documents failed twice.
        """
        for rounds in itertools.count(1):
            before = self._failures
            self._round()
            if same := self._failures.keys() & before.keys():  # not changed, and failed again
                raise _unreadable([self._failures[each] for each in sorted(same)])
            due = rounds >= PATIENCE or self._book.count(self._shadow.build) <= FEW
            if due and not self._failures and self._change_over():
                return

    def _change_over(self) -> bool:
        """Holds publishing, does the rest, and hands the documents over; `False` where that takes too long."""
        end = time.monotonic() + HOLD_S
        self._book.hold(self._run, HOLD_S)
        try:
            while time.monotonic() < end and not self._failures:
                self._round()
                if self._book.swap(self._run, self._shadow.build):
                    return True
        finally:
            self._book.hold(self._run, 0)
        return False

    def _round(self) -> None:
        """Prepares what the shadow lacks, and removes from it what is not in the index any more."""
        from indexing.ingest import ingest

        self._failures = {}
        self._known = self.done.documents + self._book.count(self._shadow.build)
        preparing: dict[str, Document] = {}

        def submissions() -> Iterator[Submission]:
            for document in pages(self._book, self._shadow.build):
                preparing[document.id] = document
                yield submission(document, document.id, self._version(document))

        def ended(outcome: Outcome) -> None:
            document = preparing.pop(outcome.submission.document_id)
            if isinstance(outcome, Indexed):
                self._record(document, outcome)
            else:
                self._failures[document.id, document.version] = document.source, outcome.error
            if self._lost.is_set():
                raise ConflictError("Another reindex has taken over: this one was not heard of for too long.")

        if self._known > self.done.documents:
            ingest(self._pipeline, submissions(), ended)
        while gone := self._book.gone(self._shadow.build):
            for document_id in gone:
                self._shadow.delete(document_id)
            self._book.drop(self._shadow.build, gone)

    def _record(self, document: Document, outcome: Indexed) -> None:
        assert document.version is not None  # else it would not be in the index
        self._book.record(
            self._shadow.build,
            Reindexed(
                document_id=document.id,
                source_version=document.version,
                version=outcome.submission.version,
                passages=outcome.passages,
                title=outcome.title,
                text_key=outcome.text_key,
            ),
        )
        self.done.documents += 1
        self.done.passages += outcome.passages
        self.done.embedded += outcome.embedded
        self._tell(outcome.passages, max(self._known, self.done.documents))


def pages(book: Reindexes, shadow: str) -> Iterator[Document]:
    """Documents that a shadow lacks, read page by page; no shadow lacks all that are in the index."""
    after = ""
    while page := book.outstanding(shadow, after=after, limit=PAGE):
        yield from page
        after = page[-1].id


def _unreadable(failures: list[tuple[str, StrataError]]) -> DocumentsUnreadableError:
    named = "; ".join(f"{source}: {error.detail}" for source, error in failures[:NAMED])
    more = f"; and {len(failures) - NAMED:,} more" if len(failures) > NAMED else ""
    return DocumentsUnreadableError(
        f"Documents of the index that cannot be prepared anew: {len(failures):,}. The live index is untouched. Submit "
        f"them again or delete them, and run the reindex again, which goes on where it stopped. {named}{more}"
    )
