"""Sources and what reads them, on a folder of their own; documents are accepted, and nothing is indexed."""

import threading
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from pipelines.core.blobs import FolderBlobs
from pipelines.core.settings import IngestSettings, Settings
from pipelines.core.state import Database, Document, DocumentStatus, Ledger, Source, Sources, sqlite_url
from services.documents.intake import Intake
from services.documents.sync import Syncs

TENANT = "default"


class Syncing:
    """One process's parts. Several may share a folder."""

    def __init__(
        self,
        folder: Path,
        *,
        sources: tuple[str, ...] = (),
        options: Mapping[str, Mapping[str, SecretStr]] | None = None,
        max_queued: int = 1_000_000,
    ) -> None:
        ingest = IngestSettings(sources=sources, source_options=options or {}, max_queued=max_queued, lease_s=40)
        self.settings = Settings(ingest=ingest)
        self.database = Database(sqlite_url(folder / "state.sqlite"))
        self.ledger = Ledger(self.database)
        self.sources = Sources(self.database)
        self.blobs = FolderBlobs(folder / "blobs")
        self.nudged: list[int] = []
        self.syncs = Syncs(
            self.settings,
            self.sources,
            intake=Intake(self.settings, self.blobs, "fingerprint"),
            fingerprint="fingerprint",
            queued=self.ledger.queued,
            nudge=self.nudged.append,
        )
        self.stop = threading.Event()

    def sync(self, url: str, *, keep_deleted: bool = False, **metadata: str) -> Source:
        """Adds a source, or asks for another look at it, and works until nothing is due."""
        source = self.sources.add(TENANT, url, metadata=metadata, keep_deleted=keep_deleted)
        self.syncs.turn(self.stop)
        return self.sources.get(source.id, TENANT)

    def documents(self) -> dict[str, Document]:
        """By source."""
        found: dict[str, Document] = {}
        cursor = None
        while True:
            page = self.ledger.documents(TENANT, limit=1000, cursor=cursor)
            found |= {document.source: document for document in page.items}
            if (cursor := page.next_cursor) is None:
                return found

    def names(self, status: DocumentStatus = DocumentStatus.QUEUED) -> set[str]:
        """Of the documents in a state."""
        return {document.name for document in self.documents().values() if document.status is status}

    def close(self) -> None:
        self.database.close()


def figures(source: Source) -> tuple[int, int, int, int, int]:
    """Listed, new, changed, deleted, unchanged."""
    return source.listed, source.added, source.changed, source.deleted, source.unchanged
