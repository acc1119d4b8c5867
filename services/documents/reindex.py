"""Building the index anew beside the live one, for another encoder, splitter or layout, and swapping at the end.

The shadow is filled from the stored files of every document in the index, in rounds: what was added, changed or deleted
meanwhile is what the next round finds. When little is left, publishing into the live collection is held for a moment,
the rest is done, and the state database hands all documents over to the shadow in one transaction; from then on no
worker can record anything of the old collection. Then the index points to the shadow. Killed before that transaction,
the live index is as it was, and the next run takes the shadow up again; killed after it, the next run only points.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from indexing.identity import document_version, preparation
from pipelines.core.errors import ConflictError, StateUnavailableError
from pipelines.core.settings import Settings
from pipelines.core.state import Document, Reindexes, Reindexing, Standing
from pipelines.core.store import Schema, Store
from services.documents.refill import Filling, Tell, pages

if TYPE_CHECKING:
    from haystack import Pipeline

LEASE_S = 60.0


@dataclass(frozen=True, slots=True)
class ReindexResult:
    """What a reindex did. `changed` is false where the index was as configured already."""

    changed: bool
    documents: int = 0
    passages: int = 0
    embedded: int = 0
    resumed: bool = False
    seconds: float = 0.0


class Reindexer:
    """Runs reindexes, one at a time. Other processes go on searching and, but for a moment, ingesting.

    Args:
        store: The live index, not open.
        schema: What the new one is built with.
        pipeline: Builds the document path into a store.
    """

    def __init__(
        self,
        settings: Settings,
        book: Reindexes,
        *,
        store: Store,
        schema: Schema,
        pipeline: "Callable[[Store], Pipeline]",
    ) -> None:
        self._settings, self._book = settings, book
        self._live, self._schema, self._pipeline = store, schema, pipeline
        facts = [preparation(settings.split, schema.encoder), asdict(schema), settings.index.bm25_average_words]
        self._preparation = hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def run(self, tell: Tell = lambda *_: None, *, force: bool = False) -> ReindexResult:
        """Builds the index anew where its configuration has changed.

        Args:
            force: Do it in any case, for example because the index was lost.

        Raises:
            ConflictError: another reindex runs, or another process holds the embedded index.
            DocumentsUnreadableError: documents cannot be prepared. The live index is untouched, as after every error.
        """
        began = time.monotonic()
        live = self._live.open(any_schema=True)
        if not force and self._is_current(live):
            return ReindexResult(changed=False)
        with self._running(live) as (run, lost):
            shadow = live.shadow(self._schema, resume=run.shadow)
            resumed = shadow.build == run.shadow
            filling = Filling(
                self._book, run, shadow, pipeline=self._pipeline(shadow), version=self._version, tell=tell, lost=lost
            )
            try:
                if not (run.retired and resumed):  # else the documents are handed over already
                    self._book.attach(run, shadow.build)
                    filling.fill()
                live.swap(shadow)
            finally:
                shadow.close()
            self._book.forget(run)
        done = filling.done
        return ReindexResult(True, done.documents, done.passages, done.embedded, resumed, time.monotonic() - began)

    def drop_old(self) -> int:
        """Drops collections that earlier reindexes replaced or left; returns how many.

        Raises:
            ConflictError: a reindex runs, or was cut off in the middle of its swap.
        """
        live = self._live.open(any_schema=True)
        with self._running(live) as (run, _):
            if run.retired:
                raise ConflictError("A reindex did not come to its end: run `strata reindex` first.")
            return live.drop_leftovers()

    def _is_current(self, live: Store) -> bool:
        if live.info().schema != self._schema or self._book.standing(live.build) is Standing.RETIRED:
            return False
        return all(document.version == self._version(document) for document in pages(self._book, ""))

    @contextmanager
    def _running(self, live: Store) -> Iterator[tuple[Reindexing, threading.Event]]:
        """Holds the lease; the event tells that it was lost."""
        run = self._book.begin(live.build, self._preparation, LEASE_S)
        stop, lost = threading.Event(), threading.Event()

        def prolong() -> None:
            while not stop.wait(LEASE_S / 4):
                try:
                    self._book.extend(run, LEASE_S)
                except ConflictError:
                    lost.set()
                    return
                except StateUnavailableError:
                    continue  # two rounds may fail before the lease ends

        thread = threading.Thread(target=prolong, name="strata-reindex-lease", daemon=True)
        thread.start()
        try:
            yield run, lost
        finally:
            stop.set()
            thread.join()
            with suppress(StateUnavailableError):
                self._book.end(run)

    def _version(self, document: Document) -> str:
        return document_version(
            document.content_sha256,
            document.name,
            document.metadata,
            split=self._settings.split,
            encoder=self._schema.encoder,
            labels=document.labels,
        )
