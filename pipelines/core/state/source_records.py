"""What the state database gives out and takes of sources."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pipelines.core.access import Labels
from pipelines.core.errors import ConflictError
from pipelines.core.state.records import Metadata, Submission


class SyncEndedError(ConflictError):
    """A sync that nobody wants any more: the source was deleted, another worker took it, or its job was cancelled."""


class SourceStatus(StrEnum):
    """Where a source stands. `synced` and `failed` last until somebody asks for a sync or deletes it."""

    QUEUED = "queued"
    RUNNING = "running"
    SYNCED = "synced"
    FAILED = "failed"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A folder or bucket prefix, and how the last look at it went, or goes.

    Attributes:
        url: Normalised; ends with a slash.
        labels: Access labels that its documents carry.
        keep_deleted: Whether documents of files that are gone stay.
        job_id: The job that the documents of the last sync belong to.
        listed: Files found, by the last try of the last sync.
        added: Files that were not there before; likewise over all its tries, as the next two.
        synced_at: When a sync last ended well.
    """

    id: str
    tenant: str
    url: str
    labels: Labels
    metadata: Metadata
    keep_deleted: bool
    status: SourceStatus
    job_id: str | None
    attempts: int
    listed: int
    added: int
    changed: int
    deleted: int
    error_code: str | None
    error_detail: str | None
    next_try_at: datetime | None
    created_at: datetime
    synced_at: datetime | None

    @property
    def unchanged(self) -> int:
        """Files that are as they were."""
        return max(0, self.listed - self.added - self.changed)

    @property
    def finished(self) -> bool:
        """Whether its last sync has ended."""
        return self.status not in {SourceStatus.QUEUED, SourceStatus.RUNNING}


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncItem:
    """A source that one worker holds until its lease ends.

    Attributes:
        token: Proves the lease; a worker that lost it changes nothing any more.
        generation: Of this look. What is not seen in it is gone when it ends.
        attempt: 1 for the first try.
        deleting: The source is to be deleted, with its documents.
    """

    token: str
    source_id: str
    tenant: str
    url: str
    labels: Labels
    metadata: Metadata
    keep_deleted: bool
    generation: int
    attempt: int
    deleting: bool


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file as it is now; `mark` differs between any two contents of it, at most 64 characters."""

    path: str
    mark: str


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file that was read.

    Attributes:
        file: Its mark is empty where it is to be read again next time.
        known: Whether it had been seen before.
        submissions: The document that it became, or the members of an archive.
    """

    file: SeenFile
    known: bool
    submissions: Sequence[Submission]
