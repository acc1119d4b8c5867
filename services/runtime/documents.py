"""The document side of a process: documents come in, are indexed, synchronised, built anew and swept away."""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from pipelines.core.state import Retention
from pipelines.core.store import Store
from services.documents.ingestion import Ingestion
from services.documents.intake import Intake
from services.documents.reindex import Reindexer
from services.documents.sweep import Sweeper
from services.documents.sync import Syncs
from services.documents.watch import IngestWatch
from services.runtime.stores import Stores
from services.work import Nudge

if TYPE_CHECKING:
    from haystack import Pipeline

    from indexing.convert import FileConverter
    from indexing.stream import Outcome, Submission, Wanted


class DocumentSide(Stores):
    """What works on documents."""

    @cached_property
    def ingestion(self) -> Ingestion:
        """Accepts documents and works them off."""
        return Ingestion(
            self.settings,
            ledger=self.ledger,
            blobs=self.blobs,
            store=lambda: self.store,
            run=self._ingest,
            fingerprint=self.encoder.fingerprint,
            watch=IngestWatch(self.metrics),
        )

    @cached_property
    def ingest_pipeline(self) -> "Pipeline":
        """The document path."""
        return self._ingest_pipeline(self.store)

    @cached_property
    def converter(self) -> "FileConverter":
        """Reads files; its processes start on first use."""
        from indexing.convert import FileConverter

        return self._closing(FileConverter(self.settings.convert))

    @cached_property
    def reindexer(self) -> Reindexer:
        """Builds the index anew. It opens the index whatever it was built with: use nothing else of this runtime."""
        return Reindexer(
            self.settings,
            self.ledger.reindexes,
            store=self._made_store,
            schema=self._schema,
            pipeline=self._ingest_pipeline,
        )

    @cached_property
    def syncs(self) -> Syncs:
        """Looks what is new in sources."""
        return Syncs(
            self.settings,
            self.sources,
            intake=Intake(self.settings, self.blobs, self.encoder.fingerprint),
            fingerprint=self.encoder.fingerprint,
            queued=lambda: self.ledger.queued(),  # noqa: PLW0108  # the ledger opens when it is asked
            nudge=lambda items: self.nudge("ingest", items),
        )

    @cached_property
    def nudge(self) -> Nudge:
        """Tells workers of work that this process found; the worker inside of a process puts its own way here."""
        if not self.settings.distributed:
            return lambda role, items=1: None
        from services.queue.sender import Sender

        return self._closing(Sender(self.settings.queue)).nudge

    @cached_property
    def sweeper(self) -> Sweeper:
        """Removes what is not needed any more."""
        retention = Retention(self.database)
        return Sweeper(self.settings, ledger=self.ledger, retention=retention, blobs=self.blobs)

    def _ingest_pipeline(self, store: Store) -> "Pipeline":
        from indexing.ingest import build_ingest_pipeline

        return build_ingest_pipeline(
            self.settings, converter=self.converter, blobs=self.blobs, encoder=self.encoder, store=store
        )

    def _ingest(
        self, submissions: "Iterable[Submission]", observer: "Callable[[Outcome], None]", wanted: "Wanted"
    ) -> None:
        from indexing.ingest import ingest

        ingest(self.ingest_pipeline, submissions, observer, wanted)
