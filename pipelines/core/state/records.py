"""What the ledger gives out and takes: frozen values, never database objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from pipelines.core.types import Receipt, Scalar

T = TypeVar("T")
Metadata = Mapping[str, Scalar | tuple[Scalar, ...]]


class DocumentStatus(StrEnum):
    """Where a document stands. `indexed` and `failed` are final until somebody submits or retries it."""

    QUEUED = "queued"
    RUNNING = "running"
    INDEXED = "indexed"
    FAILED = "failed"
    DELETING = "deleting"


class ItemStatus(StrEnum):
    """What became of one submission. `superseded`: a newer submission of the document came before it was indexed."""

    QUEUED = "queued"
    RUNNING = "running"
    INDEXED = "indexed"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobStatus(StrEnum):
    """Derived from a job's items. `failed`: every item failed; a partial failure is `done`, see the counts."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One document that a caller hands in. Its bytes are in the blob store already.

    Attributes:
        document_id: UUID derived from tenant and source, so that the same source is always the same document.
        source: Address or label that names the document within its tenant.
        content_sha256: Hex SHA-256 of the bytes.
        format: Media format, as `indexing.convert` names it.
        fingerprint: Names the content *and* everything that shapes its passages; equal fingerprints are equal work.
    """

    document_id: str
    source: str
    name: str
    content_sha256: str
    size_bytes: int
    format: str
    blob_key: str
    fingerprint: str
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document as the ledger knows it.

    Attributes:
        version: Fingerprint that the index shows, `None` until it was indexed once. It stays while a newer one is
            prepared, and when that fails.
        pending_version: Fingerprint that is queued, running or failed; `None` when nothing is outstanding.
        attempts: Tries of the pending version so far.
    """

    id: str
    tenant: str
    source: str
    name: str
    status: DocumentStatus
    content_sha256: str
    size_bytes: int
    format: str
    blob_key: str
    text_key: str | None
    title: str | None
    passages: int
    version: str | None
    pending_version: str | None
    attempts: int
    error_code: str | None
    error_detail: str | None
    metadata: Metadata
    created_at: datetime
    updated_at: datetime
    indexed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A batch that was accepted. `counts` has every `ItemStatus`; its values add up to `total`."""

    id: str
    tenant: str
    kind: str
    status: JobStatus
    total: int
    counts: Mapping[ItemStatus, int]
    created_at: datetime
    finished_at: datetime | None

    @property
    def finished(self) -> bool:
        """Whether nothing of the job is queued or running any more."""
        return self.counts[ItemStatus.QUEUED] + self.counts[ItemStatus.RUNNING] == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobItem:
    """One document of one job. `ordinal` is its place in the submission, from 0."""

    job_id: str
    ordinal: int
    document_id: str
    source: str
    name: str
    status: ItemStatus
    content_sha256: str
    size_bytes: int
    fingerprint: str
    attempts: int
    error_code: str | None
    error_detail: str | None
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """A document that one worker holds until its lease ends.

    Attributes:
        token: Proves the lease; a worker that lost it changes nothing in the ledger any more.
        attempt: 1 for the first try.
        replaces: Blob and text keys of the version that this one replaces; see `Ledger.unreferenced`.
    """

    token: str
    tenant: str
    document_id: str
    source: str
    name: str
    content_sha256: str
    size_bytes: int
    format: str
    blob_key: str
    fingerprint: str
    attempt: int
    metadata: Metadata
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """A document to remove from the index and the blobs; `keys` are the blobs that it may have been the last to use."""

    token: str
    tenant: str
    document_id: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some records in order, and where the next page starts; `None` after the last."""

    items: tuple[T, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much there is: documents by status (every status), and how long the oldest queued one waits, in seconds."""

    documents: Mapping[DocumentStatus, int]
    oldest_queued_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRecord:
    """What is kept of an answer: its receipt, and no text of the question, the answer or a document."""

    answer_id: str
    tenant: str
    created_at: datetime
    status: str
    total_ms: float
    cost_usd: float | None
    tokens_in: int
    tokens_out: int
    config_version: str
    receipt: Receipt
